"""The other POCs whose flags are open: what a new test must agree with before it may begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expplat.domain.poc import Stage
from expplat.domain.proposal import OnlinePlan
from expplat.errors import ConfigurationError, InputError
from expplat.flow.ports import SpecReader, UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another POC, in its online test or graduated."""

    slug: str
    stage: Stage
    plan: OnlinePlan | None
    """Its online plan; None where its file cannot be read by this version."""


def neighbours(slug: str, *, uow: UnitOfWork, reader: SpecReader) -> tuple[Neighbour, ...]:
    """Return every POC but the one named whose flag is open; within a unit of work."""
    return tuple(
        Neighbour(
            slug=poc.slug,
            stage=poc.newest.stage,
            plan=_plan(poc.newest.proposal_sha256, uow, reader),
        )
        for poc in uow.pocs.all()
        if poc.slug != slug and poc.stage in (Stage.PROMOTED, Stage.GRADUATED)
    )


def conflicts(slug: str, plan: OnlinePlan, others: tuple[Neighbour, ...]) -> tuple[str, ...]:
    """Return, in sentences, why a test of this plan may not begin beside the others."""
    return (
        *(sentence for other in others if (sentence := _exclusion_conflict(plan, other))),
        *(sentence for other in others if (sentence := _holdout_conflict(plan, other))),
        *_requirement_conflicts(slug, plan, {other.slug: other for other in others}),
    )


def _plan(sha256: str, uow: UnitOfWork, reader: SpecReader) -> OnlinePlan | None:
    try:
        return reader.thaw(uow.proposals.text(sha256)).online
    except (InputError, ConfigurationError):
        return None


def _exclusion_conflict(plan: OnlinePlan, other: Neighbour) -> str:
    if plan.exclusion is None or other.stage is not Stage.PROMOTED:
        return ""
    group = f"the exclusion group {plan.exclusion.group}"
    if other.plan is None:
        return f"The plan of {other.slug} cannot be read, so that it may be in {group}."
    theirs = other.plan.exclusion
    if theirs is None or theirs.group != plan.exclusion.group:
        return ""
    if other.plan.unit != plan.unit:
        return (
            f"{other.slug} is in {group} too, but it hashes {other.plan.unit} and not {plan.unit}."
        )
    if theirs.overlaps(plan.exclusion):
        return (
            f"{other.slug} holds {theirs.from_percent:g} to {theirs.to_percent:g} % of {group}, "
            f"which overlaps {plan.exclusion.from_percent:g} to {plan.exclusion.to_percent:g} %."
        )
    return ""


def _holdout_conflict(plan: OnlinePlan, other: Neighbour) -> str:
    if plan.holdout is None:
        return ""
    name = f"the holdout {plan.holdout.name}"
    if other.plan is None:
        return f"The plan of {other.slug} cannot be read, so that it may name {name}."
    theirs = other.plan.holdout
    if theirs is None or theirs.name != plan.holdout.name:
        return ""
    if theirs.percent != plan.holdout.percent:
        return (
            f"{other.slug} keeps {theirs.percent:g} % of the units in {name}, "
            f"and not {plan.holdout.percent:g} %."
        )
    if other.plan.unit != plan.unit:
        return f"{other.slug} hashes {other.plan.unit} for {name}, and not {plan.unit}."
    return ""


def _requirement_conflicts(
    slug: str, plan: OnlinePlan, others: Mapping[str, Neighbour]
) -> tuple[str, ...]:
    if plan.requires is None:
        return ()
    if plan.requires not in others:
        return (f"It requires {plan.requires}, which is neither promoted nor graduated.",)
    chain = [slug, plan.requires]
    while (required := _required(others.get(chain[-1]))) is not None:
        chain.append(required)
        if required == slug:
            return (f"The flags require each other in a circle: {' → '.join(chain)}.",)
        if required in chain[:-1]:
            return ()
    return ()


def _required(neighbour: Neighbour | None) -> str | None:
    return neighbour.plan.requires if neighbour and neighbour.plan else None
