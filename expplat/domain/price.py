"""What a call costs: dated prices, in exact decimals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from expplat.domain.call import Usage
from expplat.errors import InputError

MILLION = Decimal(1_000_000)
MS_PER_HOUR = Decimal(3_600_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """USD per million tokens of one model."""

    input_usd: Decimal
    output_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """The workspace's `prices.yaml`."""

    as_of: str
    """The day the prices were taken, YYYY-MM-DD."""

    cpu_hour_usd: Decimal
    """USD of one hour of one CPU core."""

    models: Mapping[str, ModelPrice] = field(default_factory=dict)

    def cost_usd(self, *, cpu_ms: float, usages: Iterable[Usage]) -> Decimal:
        """Return what one call cost, in USD.

        Raises:
            InputError: If a model has no price; a call that reads as free would trip no budget.
        """
        total = Decimal(repr(cpu_ms)) * self.cpu_hour_usd / MS_PER_HOUR
        for usage in usages:
            price = self.models.get(usage.model)
            if price is None:
                known = ", ".join(sorted(self.models)) or "none"
                raise InputError(
                    f"prices.yaml has no price of the model {usage.model!r}.",
                    hint=f"Add it under `models:`; priced are: {known}.",
                )
            total += usage.input_tokens * price.input_usd / MILLION
            total += usage.output_tokens * price.output_usd / MILLION
        return total
