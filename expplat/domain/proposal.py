"""The proposal: an experiment file as submitted, and the six checks it must answer.

The attribute docstrings are the field reference: `expplat schema` is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.gate import Gate
from expplat.domain.metric import Metric
from expplat.domain.plain import READ_STRICTLY

Text = Annotated[str, Len(1, 2000)]
Percent = Annotated[float, Gt(0), Le(100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Check 1, relevance: is it a problem that we have?"""

    __pydantic_config__ = READ_STRICTLY

    system: Text
    """The production system, such as `docs search of the support portal`."""

    pain: Text
    """What hurts today, with a number where there is one."""

    primary_metric: str
    """The metric that must move; one of `metrics`."""

    why_now: Text
    """Why this technique, and why now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the paper says it gained."""

    __pydantic_config__ = READ_STRICTLY

    metric: Text
    """As the paper names it, such as `nDCG@10`."""

    effect: float
    """Gain over the paper's baseline, in the metric's own unit (0.03 is three points)."""

    dataset: Text
    """Such as `BEIR, 13 data sets`."""

    effect_low: float | None = None
    """Lower end of the paper's 95 % interval, where it gives one."""

    effect_high: float | None = None
    """Upper end."""

    table: str = ""
    """Where it stands, such as `Table 2`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """Check 2, reproducibility: who claims what, and is the code there?"""

    __pydantic_config__ = READ_STRICTLY

    title: Text
    """Title of the paper, or of the post that describes the technique."""

    reference: Text
    """`arXiv:2402.03367`, a DOI, or an http(s) address. It is shown, never fetched."""

    code_available: bool
    """Whether the authors published their code."""

    claim: Claim
    """The number that is held against the replay and the online test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the two ways to answer a request."""

    __pydantic_config__ = READ_STRICTLY

    use: Annotated[str, Len(3, 200)]
    """`module:attribute`, such as `pocs.hybrid_rrf.variants:Hybrid`: a class or a function; or
    `logged`, what production answered by the log, or `logged:<system>`, what another one did."""

    params: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the class, or of the function after request and call."""

    assets: Mapping[str, str] = field(default_factory=dict)
    """Files that it reads, by names of your own, such as `{"index": "data/index.bin"}`: relative to
    the workspace, handed to `setup`, and part of what the variant is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """What is compared, the same offline and online: control, and a treatment or several."""

    __pydantic_config__ = READ_STRICTLY

    control: Variant
    """What production does today."""

    treatment: Variant
    """What the paper proposes."""

    more: Mapping[str, Variant] = field(default_factory=dict)
    """Further treatments, `treatment_b`, `treatment_c` and so on: each is replayed against the same
    control, must pass every offline gate, and shares the online test. Success is then asked of each
    at its share of alpha, so that several tries are no better than one; the best that passes every
    gate graduates, and harm by one ends the test."""

    @property
    def treatments(self) -> tuple[str, ...]:
        """The names of all treatments, the first one `treatment`."""
        return ("treatment", *sorted(self.more))

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of all variants, control first: the order that flags know them in."""
        return ("control", *self.treatments)

    def pair(self, treatment: str) -> Variants:
        """Return control with one of the treatments, which is called `treatment` in it."""
        return Variants(control=self.control, treatment=self.more.get(treatment, self.treatment))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLogSource:
    """Where the recorded requests are."""

    __pydantic_config__ = READ_STRICTLY

    path: Annotated[str, Len(0, 1000)] = ""
    """JSONL, CSV or Parquet file, relative to the workspace; a glob or a folder is allowed, and so
    is the address of an object store, such as `s3://bucket/logs/`."""

    query: Annotated[str, Len(0, 20_000)] = ""
    """One SELECT, whose rows are the requests: over the files, which it calls `data`, or in the
    database that `database_env` names."""

    database_env: Annotated[str, Len(0, 200)] = ""
    """Name of the environment variable that holds the address of the database; the address itself
    may hold a password, and does not belong into this file."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Where the log's own names differ: our field to its column, such as `{"request_id": "id"}`;
    `input.question: query` puts a column into the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How the replay measures."""

    __pydantic_config__ = READ_STRICTLY

    seed: int = 7
    """Seed of the interleaving and of every resampling."""

    warmup: Annotated[int, Ge(0), Le(1000)] = 5
    """Requests that each variant answers unmeasured first, in every worker."""

    repeats: Annotated[int, Ge(1), Le(100)] = 1
    """How often each variant answers each request: more than once pays where its answers vary."""

    concurrency: Annotated[int, Ge(1), Le(256)] = 1
    """Requests that are under way at once in each worker. With one, every call is timed; with more,
    `latency_requests` are answered first, one by one, and only their calls are timed."""

    latency_requests: Annotated[int, Ge(0)] = 200
    """With a concurrency above 1: requests whose calls are timed."""

    aa_requests: Annotated[int, Ge(0)] = 60
    """Requests that control answers a second time: the A/A noise floor; 0 leaves it out."""

    timeout_s: Annotated[float, Gt(0), Le(3600)] = 30.0
    """After which a call is an error of the kind `timeout`."""

    attempts: Annotated[int, Ge(1), Le(10)] = 3
    """Calls that one answer may take where somebody's rate limit or failure stands in the way; over
    the whole replay, second and later ones are held to a quarter of all calls."""

    budget_usd: Annotated[float, Gt(0)] | None = None
    """What the calls of a treatment's replay may cost together; it stops there, and its verdict is
    `unknown`."""

    budget_minutes: Annotated[float, Gt(0)] | None = None
    """Minutes of one run of the replay, for the same purpose."""

    keep_answers: bool = True
    """Keep the answers that were paid for by token, and use them again where the same variant is
    asked the same thing; answers used again are not timed."""

    early_stop: bool = False
    """Take the requests in five random parts, and stop when the answer is clear: each look spends
    its share of alpha, so that looking more often makes no false pass more likely."""

    memory_mb: Annotated[int, Ge(64)] | None = None
    """Memory that a worker may take; beyond it the variant's call fails. No limit if left out."""

    workers: Annotated[int, Ge(1), Le(1024)] = 2
    """Actors that share the log."""

    shard_requests: Annotated[int, Ge(1), Le(100_000)] = 50
    """Requests in one shard: the unit of work that an actor is handed."""

    max_control_error_fraction: Annotated[float, Ge(0), Lt(1)] = 0.01
    """Largest share of control's calls that may fail; beyond it nothing is ruled, for a gain
    against something that fails is no gain. A treatment's failures count against it anyway."""

    errors: Literal["worst", "drop_pair"] = "worst"
    """What a failed call counts as: the metric's worst value, or nothing (both are shown)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a ramp step must gather before the next one opens."""

    __pydantic_config__ = READ_STRICTLY

    min_units: Annotated[int, Ge(1)] = 100
    """Units in each variant since the step was opened."""

    min_hours: Annotated[float, Ge(0)] = 24.0
    """Hours that the step has stood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Limits of the health gates, which every online test answers to."""

    __pydantic_config__ = READ_STRICTLY

    srm_alpha: Annotated[float, Gt(0), Lt(0.1)] = 0.001
    """Sample ratio mismatch: chance of a false alarm over the whole test, at any looks."""

    max_multiple_exposures_fraction: Annotated[float, Ge(0), Lt(1)] = 0.01
    """Largest share of units that were shown both variants."""

    max_missing_fraction: Annotated[float, Ge(0), Lt(1)] = 0.05
    """Largest share of units, in either variant, without a value of a metric that needs one."""

    min_units: Annotated[int, Ge(1)] = 100
    """Units in each variant before any metric is judged."""

    min_days: Annotated[float, Ge(0)] = 7.0
    """Days that a test runs at least before it may graduate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlinePlan:
    """Check 6, the controlled experiment: planned before it starts."""

    __pydantic_config__ = READ_STRICTLY

    metrics: Annotated[tuple[Metric, ...], Len(1)]
    """What production services report as outcomes."""

    gates: Annotated[tuple[Gate, ...], Len(1)]
    """Superiority gates are the success metrics (see `winning`); non-inferiority and equivalence
    gates are the guardrails: all must pass, and one that is proven harmed ends the test."""

    max_units: Annotated[int, Ge(20)]
    """Units, control and treatment together, at which the test ends: the horizon of the sequential
    plan, and in the mode `open_ended` where the intervals are tightest. Where there are several
    treatments, those of control and any one of them."""

    max_days: Annotated[float, Gt(0), Le(365)] = 28.0
    """Days after which the test ends, whatever it has gathered."""

    mode: Literal["planned", "open_ended"] = "planned"
    """`planned`: the error budget is spent over `max_units`: most power. `open_ended`:
    intervals that hold at any number of units, for a test whose end is not known; it takes about
    two thirds more units to find the same effect, and 30 events in each variant before a proportion
    is judged. `max_units` and `max_days` end it all the same, as inconclusive."""

    winning: Literal["all", "any"] = "all"
    """`all`: every success metric must pass. `any`: one is enough, and each is held to a stricter
    level (Holm), so that several tries are no better than one. In both, a success metric that is
    surely worse ends the test, and guardrails keep their own level."""

    unit: Annotated[str, Len(1, 100)] = "user_id"
    """What is randomised: the name of the attribute that the flag hashes."""

    split: Literal["equal"] = "equal"
    """Each variant gets the same share of the test at every step: unequal ones break the
    variances of rare and heavy-tailed metrics."""

    ramp_percent: Annotated[tuple[Percent, ...], Len(1)] = (5.0, 20.0, 50.0, 100.0)
    """Share of units that enters the test at each step, an equal part of it to each variant; only
    ever more."""

    hold: Hold = field(default_factory=Hold)
    """What a step must gather before the next one opens."""

    targeting: Mapping[str, Any] = field(default_factory=dict)
    """Condition on the attributes of a unit, such as `{"country": {"$in": ["CH", "DE"]}}`: only
    units that meet it enter, and only they are served the treatment after graduation. Operators are
    `$eq $ne $lt $lte $gt $gte $in $nin $exists $size $elemMatch $veq $vne $vlt $vlte $vgt $vgte
    $not`, joined by `$and $or $nor`; everybody where it is left out. Everyone who holds a client
    key can read it, so it must name no person and nothing that is secret."""

    exclusion: Exclusion | None = None
    """Mutual exclusion: tests of one group whose ranges do not overlap share no unit."""

    holdout: Holdout | None = None
    """Units that stay on control in this test and in every other that names the same holdout."""

    requires: str | None = None
    """Slug of another POC: only units that are served its treatment enter, and only they are
    served this one's after graduation. Its rollback closes this flag too."""

    health: Health = field(default_factory=Health)
    """Limits of the health gates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Check 5, operational complexity: who maintains it at 2am?"""

    __pydantic_config__ = READ_STRICTLY

    new_components: tuple[str, ...]
    """New things that run, such as `vector index`; an empty list says that there are none."""

    new_dependencies: tuple[str, ...]
    """New packages or services; an empty list says that there are none."""

    serving_pattern: Text
    """Such as `in process`, `batch`, `GPU service`."""

    on_call: Text
    """Team or person who is called at 2am."""

    runbook: Text
    """Where it says what to do."""

    failure_mode: Text
    """What breaks first, and what users see then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A mandatory gate that is left out, and why; the reason stands wherever the verdict does."""

    __pydantic_config__ = READ_STRICTLY

    phase: Literal["offline", "online"]
    """Where the gate is left out."""

    concern: Literal["accuracy", "latency", "cost"]
    """Which of the three mandatory questions is not asked."""

    reason: Annotated[str, Len(10, 2000)]
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A whole experiment file."""

    __pydantic_config__ = READ_STRICTLY

    slug: str
    """Name of the POC: it ties this file, `pocs/<slug>/`, the rows, the MLflow experiment and the
    flag. Lower-case letters, digits and underscores."""

    owner: Text
    """Who answers for it by day."""

    problem: Problem
    paper: Paper
    variants: Variants
    request_log: RequestLogSource

    metrics: Annotated[tuple[str | Metric, ...], Len(1)]
    """Offline metrics: names of built-in ones, or declarations with `use` of your own."""

    offline_gates: Annotated[tuple[Gate, ...], Len(1)]
    """All must pass before the test on users may open."""

    online: OnlinePlan
    operations: Operations
    waivers: tuple[Waiver, ...] = ()
    """Mandatory gates that are left out, with reasons."""

    measurement: Measurement = field(default_factory=Measurement)
    """How the replay measures."""
