"""What the flow needs from outside, as protocols; `expplat/wiring.py` says who answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from expplat.domain.metric import Metric
from expplat.domain.online import Exposure, Look, Outcome, QuarantinedEvent, Snapshot
from expplat.domain.poc import Poc
from expplat.domain.price import PriceTable
from expplat.domain.proposal import Proposal, RequestLogSource, Variants
from expplat.domain.question import AskedMetric, Question
from expplat.domain.replay import Limits, ReplayPlan, ReplayReport, ReplayRow, Sample
from expplat.domain.tally import ArmValues, PairedTable, Tally

if TYPE_CHECKING:
    from expplat.metrics.columns import Columns

Clock = Callable[[], datetime]
"""Returns the present moment, in UTC."""

Progress = Callable[[int, int], None]
"""Told how many requests are done, of how many."""


IsEnough = Callable[[int], bool]
"""Told a round of a replay that is done, from 1; says whether the rest is not needed."""


def never(round_: int) -> bool:
    """Say that every round is needed."""
    del round_
    return False


class Pocs(Protocol):
    """POCs and their append-only histories."""

    def find(self, slug: str) -> Poc:
        """Return the POC of that name; one without history where there is none."""

    def get(self, slug: str) -> Poc:
        """Return the POC of that name, or raise NotFoundError."""

    def all(self, *, but: Collection[str] = ()) -> tuple[Poc, ...]:
        """Return every POC, by slug, but those named."""

    def unreadable(self) -> tuple[tuple[str, int], ...]:
        """Return slug and position of the transitions that cannot be read at all."""

    def transitions(self) -> int:
        """Return how many transitions were ever written: the same number is the same histories."""

    def add_newest(self, poc: Poc) -> None:
        """Add the newest transition; its key (slug, position) refuses a second writer."""

    def take_turns(self) -> None:
        """Wait until every other transaction that called this has ended."""


class Proposals(Protocol):
    """Files as they were submitted, by hash."""

    def add(self, *, sha256: str, slug: str, text: str, at: datetime) -> None:
        """Keep a file; the same hash again changes nothing."""

    def text(self, sha256: str) -> str:
        """Return the file of that hash, or raise NotFoundError."""


class Replays(Protocol):
    """Finished replays."""

    def find(self, replay_id: str) -> ReplayReport | None:
        """Return the report of that id; None where there is none."""

    def add(self, report: ReplayReport) -> None:
        """Keep a report, as not yet copied to MLflow; the same id again replaces it."""

    def uncopied(self) -> tuple[ReplayReport, ...]:
        """Return the reports that MLflow has not received, oldest first."""

    def mark_copied(self, replay_id: str, address: str) -> None:
        """Note that MLflow has it, and where a person can look at it."""

    def address(self, replay_id: str) -> str | None:
        """Return where MLflow shows the replay; None while it has not received it."""


class Looks(Protocol):
    """Readings of online tests; written once."""

    def of(self, slug: str, phase: int) -> tuple[Look, ...]:
        """Return the looks of a phase, oldest first."""

    def add(self, look: Look) -> None:
        """Keep a look; its key (slug, phase, position) refuses a second writer."""


class Events(Protocol):
    """Exposures and outcomes: append-only, each id once."""

    def add_exposures(self, exposures: Sequence[Exposure], *, source: str) -> frozenset[str]:
        """Keep exposures; return the ids that were new. `source` is the connection they came by."""

    def add_outcomes(self, outcomes: Sequence[Outcome], *, source: str) -> frozenset[str]:
        """Keep outcomes; return the ids that were new."""

    def stored(
        self, kind: str, ids: Collection[str], *, source: str
    ) -> Mapping[str, Exposure | Outcome]:
        """Return what is kept under these ids of a connection; ids that are not kept are left out.

        Args:
            kind: `exposure` or `outcome`.
            ids: Of events; any number.
            source: The connection that they came by.
        """

    def shown_since(self, moment: datetime, *, slug: str, phase: int) -> Mapping[str, int]:
        """Return how many units each variant was shown to from a moment on, seen before or not."""

    def snapshot(
        self,
        *,
        slug: str,
        phase: int,
        metrics: Sequence[Metric],
        started_at: datetime,
        now: datetime,
    ) -> Snapshot:
        """Add the events of a phase up to sufficient statistics, in the database."""


class Quarantine(Protocol):
    """Events that were refused, kept so that nothing is lost in silence."""

    def add(self, events: Sequence[QuarantinedEvent]) -> None:
        """Keep events that were refused; one that waits here already is kept once.

        Where very many wait, no other is kept.
        """

    def list(self, *, limit: int = 1000) -> tuple[QuarantinedEvent, ...]:
        """Return the newest events that wait, newest first."""

    def page(self, *, after: int, limit: int) -> tuple[QuarantinedEvent, ...]:
        """Return the events that wait, of numbers over `after`, oldest first."""

    def codes(self) -> Mapping[str, int]:
        """Return how many events wait, by the code of the reason."""

    def settle(self, numbers: Collection[int], at: datetime) -> None:
        """Note that events wait no more: taken after all, or given up; they stay as history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A key, without its secret."""

    key_id: str
    kind: str
    """`client`, `ingest` or `admin`."""

    name: str
    prefix: str
    """The first characters of the secret, to recognise it by."""

    created_at: datetime
    revoked_at: datetime | None = None
    connection: str = ""
    """Names whose key it is: the keys of one connection are one sender, so that an event that is
    sent again under a newer key is known. Its own id, unless it was made by rotation."""

    delivery: str = "plain"
    """How a client key is served its flags: `plain`, `encrypted`, or `remote` (evaluated here)."""

    payload_key: str | None = field(default=None, repr=False)
    """What encrypts the flags of this key: 16 bytes in Base64, as its clients must know it."""

    writes_events: bool = False
    """Whether a client key may also send events, as plugins in browsers do."""


class Keys(Protocol):
    """Access keys; of the secret only the SHA-256 is kept."""

    def add(self, key: AccessKey, secret_sha256: str) -> None:
        """Keep a key."""

    def find(self, secret_sha256: str) -> AccessKey | None:
        """Return the key of that secret, also a revoked one; None where there is none."""

    def all(self) -> tuple[AccessKey, ...]:
        """Return every key, oldest first."""

    def revoke(self, key_id: str, at: datetime) -> None:
        """Revoke a key, or raise NotFoundError."""


class Table(Protocol):
    """A table of a test that was run elsewhere, added up where it lies."""

    def columns(self) -> Sequence[str]:
        """Return the names of the columns."""

    def halved(self, unit: str) -> Table:
        """Return the same table with a column `HALF`: 0 or 1 by the hash of the unit."""

    def tally(self, question: Question) -> Tally:
        """Add the table up.

        Units that were shown several variants are counted and left out; rows of one unit are
        brought together before anything is added up.

        Raises:
            FaultsError: If columns are missing, or do not hold what is asked of them.
        """

    def values(self, question: Question, metric: AskedMetric) -> Mapping[str, ArmValues]:
        """Return the units' values of one metric, by variant, for what needs them in order."""

    def pairs(self, question: Question) -> PairedTable:
        """Return the values of every request under every variant."""


class Tables(Protocol):
    """Opens tables."""

    def open(self, source: str | None, *, query: str | None, database: str | None) -> Table:
        """Open a file (CSV, JSONL, Parquet, also a glob) or the result of a query.

        Args:
            source: Path or glob; the query may call it `data`.
            query: One SELECT; over the files themselves, or in `database`.
            database: URL of a database that the query runs in; None for files.

        Raises:
            InputError: If there is no such file, or it cannot be read, or the query is wrong.
            DependencyError: If the database cannot be reached.
        """


class UnitOfWork(Protocol):
    """One transaction: `with uow: … uow.commit()`; left without a commit, nothing is kept."""

    pocs: Pocs
    proposals: Proposals
    replays: Replays
    looks: Looks
    events: Events
    keys: Keys

    @property
    def quarantine(self) -> Quarantine:
        """Events that were refused."""

    def __enter__(self) -> Self:
        """Begin; raise DatabaseError where the database is out of reach."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Roll back what was not committed."""

    def commit(self) -> None:
        """Keep it all, or raise ConflictError or DatabaseError and keep nothing."""


class SpecReader(Protocol):
    """Reads experiment files."""

    def read(self, content: bytes, source: str) -> Proposal:
        """Return the proposal, or raise FaultsError with every fault of the file."""

    def thaw(self, text: str) -> Proposal:
        """Return a proposal that was checked when it was frozen; later rules do not judge it.

        Raises:
            ConfigurationError: If this version cannot read what an earlier one froze.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeHashes:
    """What the two variants are made of."""

    control_sha256: str
    """Over the workspace's source files that the variant imports, and its `use` and params."""

    treatment_sha256: str


class VariantCode(Protocol):
    """The technique code of a workspace."""

    def probe(self, workspace: Path, variants: Variants, metrics: Sequence[Metric]) -> CodeHashes:
        """Import both variants and own metrics in a process of their own.

        Raises:
            FaultsError: If one cannot be imported or made; all such faults at once.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenLog:
    """A request log, checked, in canonical form and cut into shards."""

    sha256: str
    """Over the canonical rows."""

    requests: int
    shards: int


class RequestLogs(Protocol):
    """Recorded requests."""

    def freeze(
        self,
        source: RequestLogSource,
        *,
        workspace: Path,
        folder: Path,
        shard_requests: int,
        kept: Path | None = None,
    ) -> FrozenLog:
        """Check every row and write the shards into `folder`; nothing is left of a broken log.

        A database is asked once: its rows are kept in the file `kept`, and read from there after.

        Raises:
            FaultsError: With every fault of the log (the first hundred).
        """


class Engine(Protocol):
    """Runs the calls of a replay and journals them, row by row."""

    name: str
    """Who ran the calls in the end: `ray` or `local`."""

    notice: str
    """What a person must know of it, such as that Ray did not start; or empty."""

    def run(
        self,
        plan: ReplayPlan,
        progress: Progress,
        limits: Limits,
        is_enough: IsEnough = never,
    ) -> str:
        """Complete the journal of the plan; what it holds is not called again.

        Args:
            plan: The replay.
            progress: Told how many rows are done.
            limits: Budgets.
            is_enough: Asked after each of the plan's rounds but the last; the run ends on a yes.

        Returns:
            The budget that ended it, in a sentence; empty where none did.

        Raises:
            EngineError: If it cannot be completed; what was journalled stays.
        """


class Journal(Protocol):
    """The rows that engines have written."""

    def rows(self, plan: ReplayPlan) -> Iterator[ReplayRow]:
        """Return the journalled rows in the order of the log; a torn last line is passed over."""

    def columns(self, plan: ReplayPlan) -> Columns:
        """Return the journalled rows as columns; they are read one by one, whenever asked for."""

    def samples(self, plan: ReplayPlan, positions: Collection[int]) -> tuple[Sample, ...]:
        """Return the first rows of these positions with their words, in the order of the log."""

    def setups_ms(self, plan: ReplayPlan) -> Mapping[str, tuple[float, ...]]:
        """Return what setting up took in each worker, by arm, in ms."""


class Tracking(Protocol):
    """MLflow: a copy for comparing, never read back for a decision."""

    def copy(
        self, report: ReplayReport, proposal: Proposal, page: str, samples: Sequence[Sample] = ()
    ) -> str:
        """Write the three runs of a replay, once; return where a person can compare them.

        Args:
            report: A committed replay.
            proposal: The revision that it stands on.
            page: The report as one self-contained HTML page, kept as an artifact.
            samples: Calls that become traces, the worst and some at random.

        Raises:
            TrackingError: If MLflow is out of reach.
        """

    def promote_model(self, slug: str, code_sha256: str) -> None:
        """Make a variant, known by the hash of its code, the champion among a POC's models.

        Raises:
            TrackingError: If MLflow is out of reach, or has no such model.
        """

    def probe(self) -> str:
        """Say where the runs go, or raise TrackingError."""


class ReportPages(Protocol):
    """Draws a replay as one page that can be mailed."""

    def replay_page(self, report: ReplayReport, proposal: Proposal) -> str:
        """Return self-contained, escaped HTML."""


class Reports(Protocol):
    """Writes the report of a replay as files."""

    def keep(
        self, report: ReplayReport, proposal: Proposal, page: str, ci_folder: Path | None
    ) -> Path:
        """Write the page beside the journal, and all forms of it into a folder for CI.

        Returns:
            Where the page is.

        Raises:
            InputError: If the folder cannot be written.
        """


class Prices(Protocol):
    """The price table of a workspace."""

    def read(self, workspace: Path) -> PriceTable:
        """Return the table; a built-in CPU price where the workspace has none.

        Raises:
            FaultsError: If the file is broken.
        """


class Brake(NamedTuple):
    """What holds a flag closed, whatever the database says."""

    since: datetime
    phase: int | None = None
    """The online test that was stopped, for a later one is another decision; None where nobody
    knew which one it was: then it holds until a person takes it away."""

    def holds(self, phase: int) -> bool:
        """Whether it holds this online test closed."""
        return self.phase is None or phase <= self.phase


class Flags(Protocol):
    """The emergency brake of the flags. What is open is derived from SQL; this only ever closes."""

    def close(self, slug: str, at: datetime, phase: int | None = None) -> None:
        """Serve control to everyone, at once, even while the database is away."""

    def closed(self) -> Mapping[str, Brake]:
        """Return the brakes that are on, by slug."""


UnitOfWorkFactory = Callable[[], UnitOfWork]
"""Makes a fresh unit of work."""
