"""Any OpenFeature provider of OFREP gets variants from expplat; here the one for Python.

python ask.py <flag> <unit> [<unit> …]
"""

from __future__ import annotations

import os
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext


def main(flag: str, units: list[str]) -> None:
    """Print the variant of each unit."""
    key = os.environ["EXPPLAT_CLIENT_KEY"]
    provider = OFREPProvider(
        os.environ["EXPPLAT_URL"],
        headers_factory=lambda: {"Authorization": f"Bearer {key}"},
        timeout=2.0,
    )
    api.set_provider(provider)
    client = api.get_client()
    for unit in units:
        details = client.get_string_details(flag, "control", EvaluationContext(targeting_key=unit))
        print(unit, details.value, details.reason)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
