"""Is a table fit to be read at all? What its units and rows are checked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from expplat.domain.analysis import Finding
from expplat.domain.gate import Ruling
from expplat.domain.question import Question, Standard
from expplat.domain.tally import ArmTally, Tally
from expplat.domain.wording import amount, counted
from expplat.flow.table_metric_health import finding_of, metric_health
from expplat.gates.metric_rules import LEAST_UNITS
from expplat.stats import srm
from expplat.stats.pairing import FEW_CLUSTERS

MOST_IN_TWO_ARMS = 0.01
"""Share of units that may have met several variants; they are left out."""

MOST_NAMELESS = 0.05
"""Share of the rows that may name no unit or no variant."""


def health_of(tally: Tally, question: Question, standard: Standard) -> tuple[Finding, ...]:
    """Check a table: what fails makes every ruling `unknown`."""
    shares = planned_shares(tally.arms, standard.split)
    return (
        _srm(tally, shares, standard),
        *_units_in_two_arms(tally, question),
        *_repeated_units(tally, question),
        *_nameless_rows(tally),
        *metric_health(tally, question, shares),
        *_randomisation_unit(tally, question, standard),
        *_clusters(tally),
        _size(tally),
    )


def planned_shares(arms: Sequence[ArmTally], split: Mapping[str, float]) -> tuple[float, ...]:
    """Return the planned share of each arm: as the split says, or equal ones."""
    if not split:
        return (1.0,) * len(arms)
    return tuple(split[arm.variant] for arm in arms)


def _srm(tally: Tally, shares: Sequence[float], standard: Standard) -> Finding:
    """Hold the split that came against the planned one: clusters where they were assigned whole."""
    counts = _assigned(tally.arms)
    detail: dict[str, float | str] = {
        arm.variant: float(count) for arm, count in zip(tally.arms, counts, strict=True)
    }
    if sum(counts) == 0:
        return finding_of("srm", Ruling.UNKNOWN, "No unit is in the table.", None, detail)
    p = _split_p(tally, shares)
    said = ", ".join(f"{count:,.0f} {variant}" for variant, count in detail.items())
    said += " clusters" if tally.arms[0].clusters is not None else ""
    planned = ":".join(f"{share:g}" for share in shares)
    if p <= standard.srm_alpha:
        why = "who is missing was not lost by chance"
        sentence = f"{said}: not the planned {planned} (p {p:.2g}); {why}."
        return finding_of("srm", Ruling.FAIL, sentence, p, detail)
    return finding_of("srm", Ruling.PASS, f"{said}: as planned, {planned} (p {p:.2g}).", p, detail)


def _assigned(arms: Sequence[ArmTally]) -> list[int]:
    """Return what was assigned to each arm; units of a cluster come in together, or not at all."""
    return [arm.units if arm.clusters is None else arm.clusters for arm in arms]


def _split_p(tally: Tally, shares: Sequence[float]) -> float:
    """Return the p-value of the split: valid at all looks where there are several."""
    if len(tally.looks) < 2:
        return srm.chi_square_p(_assigned(tally.arms), shares)
    return min(srm.sample_ratio(_assigned(look.arms), shares).p for look in tally.looks)


def _units_in_two_arms(tally: Tally, question: Question) -> Iterator[Finding]:
    if question.unit is None:
        return
    units = sum(arm.units for arm in tally.arms) + tally.units_in_two_arms
    share = tally.units_in_two_arms / units if units else 0.0
    detail: dict[str, float | str] = {"units": float(tally.units_in_two_arms), "share": share}
    ruling, sentence = Ruling.PASS, "No unit met two variants."
    if tally.units_in_two_arms:
        units_said = counted(tally.units_in_two_arms, "unit")
        sentence = f"{units_said} ({amount(share, 'fraction')}) met several variants"
        if share > MOST_IN_TWO_ARMS:
            ruling = Ruling.FAIL
            limit = amount(MOST_IN_TWO_ARMS, "fraction")
            sentence += f"; more than {limit} say that the assignment leaks."
        else:
            sentence += "; they are left out."
    yield finding_of("units_in_two_arms", ruling, sentence, None, detail)


def _repeated_units(tally: Tally, question: Question) -> Iterator[Finding]:
    if question.unit is None:
        return
    detail = {"units": float(tally.repeated_units), "rows": float(tally.repeated_rows)}
    sentence = "Each unit has one row."
    if tally.repeated_units:
        sentence = (
            f"{counted(tally.repeated_units, 'unit')} with several rows ({tally.repeated_rows:,} "
            f"beyond the first); rows are brought together by {question.unit} first."
        )
    yield finding_of("repeated_units", Ruling.PASS, sentence, None, detail)


def _nameless_rows(tally: Tally) -> Iterator[Finding]:
    lost = tally.rows_without_unit + tally.rows_without_variant
    if not lost:
        return
    share = lost / max(tally.rows, 1)
    ruling = Ruling.FAIL if share > MOST_NAMELESS else Ruling.PASS
    sentence = (
        f"{counted(tally.rows_without_unit, 'row')} without a unit and "
        f"{tally.rows_without_variant:,} without a variant; they are left out."
    )
    yield finding_of("nameless_rows", ruling, sentence, None, {"rows": float(lost), "share": share})


def _randomisation_unit(tally: Tally, question: Question, standard: Standard) -> Iterator[Finding]:
    if standard.trusts_unit or question.unit is None:
        return
    for found in tally.groupings:
        sentence = (
            f"The {found.groups:,} values of {found.column} with several units saw one variant "
            f"each: {found.column} was randomised, not {question.unit}. Take --unit "
            f"{found.column}, or --cluster {found.column}; --trust-unit if it is chance."
        )
        detail: dict[str, float | str] = {"column": found.column, "groups": float(found.groups)}
        yield finding_of("randomisation_unit", Ruling.FAIL, sentence, None, detail)


def _clusters(tally: Tally) -> Iterator[Finding]:
    counts = [arm.clusters for arm in tally.arms if arm.clusters is not None]
    if not counts:
        return
    is_few = min(counts) < FEW_CLUSTERS
    tail = f"; intervals are rough below {FEW_CLUSTERS}" if is_few else ""
    sentence = f"{counted(min(counts), 'cluster')} in the smallest variant{tail}."
    ruling = Ruling.UNKNOWN if is_few else Ruling.PASS
    yield finding_of("clusters", ruling, sentence, None, {"clusters": float(min(counts))})


def _size(tally: Tally) -> Finding:
    fewest = min((arm.units for arm in tally.arms), default=0)
    ruling = Ruling.PASS if fewest >= LEAST_UNITS else Ruling.UNKNOWN
    sentence = f"{counted(fewest, 'unit')} in the smallest variant; {LEAST_UNITS} are the least."
    return finding_of("min_units", ruling, sentence, None, {"units": float(fewest)})
