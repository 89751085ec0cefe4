"""A replay: the same requests through both variants, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from expplat.domain.breakdown import CostLine, RequestDelta, StageDelta, VarianceSplit
from expplat.domain.call import Usage
from expplat.domain.gate import Effect, Ruling, Verdict, blockers
from expplat.domain.metric import Metric
from expplat.domain.plain import sha256_of
from expplat.domain.price import PriceTable
from expplat.domain.proposal import Measurement, Variant
from expplat.domain.request import ErrorKind

CONTROL = "control"
TREATMENT = "treatment"
CONTROL_AGAIN = "control_again"
"""The arm of the A/A noise floor: control, a second time, on the same request."""

PRODUCTION_LOG = "production_log"
"""The arm that nobody calls: what production answered, by the log, scored as any other answer."""


ROUNDS = 5
"""Parts that the requests are taken in where a replay may stop early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of one variant, as the worker measured it."""

    latency_ms: float
    """Wall time of the call without its waits, in ms; at least 0."""

    cpu_ms: float
    """CPU time of the call's thread, in ms."""

    cost_usd: Decimal
    """CPU and tokens at the price table's prices, in USD."""

    metrics: Mapping[str, float | None]
    """Value by metric; None where the metric does not apply to the request, or the call failed."""

    stages_ms: Mapping[str, float] = field(default_factory=dict)
    stages_cpu_ms: Mapping[str, float] = field(default_factory=dict)
    usages: tuple[Usage, ...] = ()
    refused: bool = False
    error: ErrorKind | None = None
    error_message: str = ""

    is_timed: bool = True
    """False where other calls were under way beside it, or where the answer was kept from an
    earlier replay: then its clock counts for nothing."""

    attempts: int = 1
    """2, 3 … where somebody's rate limit or failure stood in the way."""

    is_kept: bool = False
    """True where the answer was kept from an earlier replay: it was not paid for again."""

    @property
    def input_tokens(self) -> int:
        """Tokens in, of all models."""
        return sum(usage.input_tokens for usage in self.usages)

    @property
    def output_tokens(self) -> int:
        """Tokens out, of all models."""
        return sum(usage.output_tokens for usage in self.usages)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRow:
    """One request through all variants: one line of the journal."""

    position: int
    """Place of the request in the log, from 0."""

    request_id: str
    cluster: str
    """The request's cluster; its own id where the log names none."""

    segment: Mapping[str, str]
    calls: Mapping[str, CallRecord]
    """By arm: `control`, `treatment`; for the noise floor `control_again`, and where the log holds
    what production answered, `production_log`."""

    repeat: int = 0
    """Which answer to the request this is, from 0; only the first has a noise floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A journalled row with its words, for people to look at."""

    row: ReplayRow
    asked: str
    """The request's input, shortened."""

    answers: Mapping[str, str]
    """By arm, shortened: the text, else the ids that were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a run of an engine goes; no part of what the replay is, so it may change."""

    budget_usd: float | None = None
    """What all calls of the replay may cost together, earlier runs included."""

    budget_minutes: float | None = None
    """Minutes that this run may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """All that an engine needs; the same plan gives the same verdicts on every engine."""

    replay_id: str
    """Made of the hashes below: the same id means the same evidence."""

    slug: str
    workspace: str
    """Folder that holds `pocs/`."""

    folder: str
    """Where the shards lie and the journal is written."""

    shards: int
    requests: int
    control: Variant
    treatment: Variant
    metrics: tuple[Metric, ...]
    measurement: Measurement
    prices: PriceTable

    proposal_sha256: str
    log_sha256: str
    control_sha256: str
    """Source, params and prices of control; any change makes the verdict stale."""

    treatment_sha256: str

    attempt: int = 1
    """2, 3 … where somebody asked to measure the same thing again."""

    arm: str = TREATMENT
    """Which of the proposal's treatments is the treatment here."""

    @property
    def rounds(self) -> int:
        """Random parts that the requests are taken in; between two of them the replay may end."""
        return ROUNDS if self.measurement.early_stop else 1

    @property
    def rows(self) -> int:
        """Rows of a whole journal: each request, as often as it is repeated."""
        return self.requests * self.measurement.repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """One variant in numbers, for people and for MLflow."""

    calls: int
    errors: Mapping[str, int]
    """By error kind; kinds that did not occur are left out."""

    refusals: int
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    cost_usd: Decimal
    """Of all calls together, exact."""

    stages_p50_ms: Mapping[str, float]
    stages_p95_ms: Mapping[str, float]
    input_tokens: int
    output_tokens: int
    stages_p99_ms: Mapping[str, float] = field(default_factory=dict)

    setup_ms: float | None = None
    """Median over the workers of what `setup` took, imports included; None where none was timed."""

    costs: tuple[CostLine, ...] = ()
    """By stage and model, the dearest first."""

    timed_calls: int = 0
    kept_calls: int = 0
    """Answers that were kept from an earlier replay."""

    repeated_attempts: int = 0
    """Calls beyond the first of each answer, for rate limits and failures of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """A finished replay: what is committed, copied to MLflow and drawn."""

    plan: ReplayPlan
    engine: str
    """`ray` or `local`."""

    started_at: datetime
    finished_at: datetime
    arms: Mapping[str, ArmSummary]
    effects: tuple[Effect, ...]
    """One a metric, overall, in the order of the proposal."""

    segments: Mapping[str, tuple[Effect, ...]]
    """Effects on the primary metric by `key=value` of the segment."""

    verdicts: tuple[Verdict, ...]
    worst: tuple[RequestDelta, ...]
    best: tuple[RequestDelta, ...]
    stages: tuple[StageDelta, ...] = ()
    """What each stage did to the latency, then what no stage accounts for; their mean differences
    add up to that of the latency."""

    variance: VarianceSplit | None = None
    """Of the primary metric's paired differences, where requests were repeated."""

    trust: Effect | None = None
    """Replayed control less what production answered, on the primary metric; None where the log
    does not hold that."""

    measured: int = 0
    """Requests that both variants have answered."""

    stopped: str = ""
    """Why that is not the whole log, such as a budget that was spent, or an answer that was clear;
    empty where it is."""

    is_cut: bool = False
    """True where a budget ended it: nothing is ruled, and the same command goes on."""

    @property
    def ruling(self) -> Ruling:
        """`pass` when all pass, `fail` when one fails, else `unknown`."""
        return joint_ruling(self.verdicts)

    @property
    def blockers(self) -> tuple[Verdict, ...]:
        """The verdicts that stand in the way of promotion."""
        return blockers(self.verdicts)

    def effect_on(self, metric: str) -> Effect | None:
        """Return the effect on a metric over all requests; None where it was not measured."""
        return next((effect for effect in self.effects if effect.metric == metric), None)

    @property
    def verdict_sha256(self) -> str:
        """Hash of the verdicts without the digits that a clock gave.

        Two runs of the same plan agree in it, on any engine: rulings and gates of all metrics, and
        every digit of the metrics that no clock was read for.
        """
        return sha256_of([_without_clock(verdict) for verdict in self.verdicts])


def joint_ruling(verdicts: tuple[Verdict, ...]) -> Ruling:
    """Return `fail` if any fails, `pass` if there are some and all pass, else `unknown`."""
    rulings = {verdict.ruling for verdict in verdicts}
    if Ruling.FAIL in rulings:
        return Ruling.FAIL
    return Ruling.PASS if rulings == {Ruling.PASS} else Ruling.UNKNOWN


def _without_clock(verdict: Verdict) -> tuple[object, ...]:
    if verdict.effect is None or verdict.effect.timed:
        return (verdict.gate, verdict.ruling)
    return (verdict.gate, verdict.ruling, verdict.sentence, verdict.effect)
