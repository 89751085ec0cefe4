"""Everything that expplat raises on purpose, in one tree.

    ExpplatError                 caught by the entry points alone
    ├── InputError        exit 2  you can mend it: a file, a flag, an unknown name
    │   ├── FaultsError           a file with faults; all of them at once
    │   ├── NotFoundError         nothing of that name
    │   ├── StageError            the step is not open from this stage
    │   ├── ConflictError         somebody else was faster
    │   └── KeyRefusedError       a key that is missing, unknown, revoked or of the wrong kind
    ├── DependencyError   exit 3  something outside did not answer
    │   ├── DatabaseError
    │   ├── EngineError           Ray, or a worker of it
    │   ├── TrackingError         MLflow
    │   └── FlagServerError       a flag server that others run
    │       └── DriftError        it holds something else than it was told
    ├── TryLaterError     exit 75 a lease or a lock is held; nothing was changed
    └── ConfigurationError exit 78 a schema that this version does not know, a broken setting

A gate that did not pass is not an error: it is a value, and exit status 1.
"""

from __future__ import annotations

from dataclasses import dataclass


class ExpplatError(Exception):
    """The root: one sentence for a person, and a hint of what to do next."""

    code = "error"
    exit_status = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[ExpplatError], tuple[object, ...]]:
        """Survive a pickle: a Ray worker sends its errors home."""
        return type(self), (self.message, self.hint)


class InputError(ExpplatError):
    """Something that the caller can mend."""

    code = "input"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fault:
    """One fault of a file: where, what, and what to write instead."""

    line: int
    """Counted from 1; 0 where the fault has no line, such as a missing field of the whole file."""

    field: str
    """The path of the field, such as `online.gates[2].margin`."""

    message: str

    hint: str = ""


class FaultsError(InputError):
    """A file with faults, all of them."""

    code = "faults"

    def __init__(self, source: str, faults: tuple[Fault, ...]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{source} has {count}.", "")
        self.source = source
        self.faults = tuple(sorted(faults))

    def __reduce__(self) -> tuple[type[ExpplatError], tuple[object, ...]]:
        """Survive a pickle."""
        return type(self), (self.source, self.faults)


class NotFoundError(InputError):
    """Nothing of that name."""

    code = "not_found"


class StageError(InputError):
    """The step is not open from the present stage."""

    code = "stage"


class ConflictError(InputError):
    """Another writer was faster; read again and decide anew."""

    code = "conflict"


class KeyRefusedError(InputError):
    """A key that is missing, unknown, revoked or of the wrong kind."""

    code = "key_refused"


class DependencyError(ExpplatError):
    """Something outside expplat did not answer."""

    code = "dependency"
    exit_status = 3


class DatabaseError(DependencyError):
    """The database is out of reach or refused the statement."""

    code = "database"


class EngineError(DependencyError):
    """Ray could not be reached, or a worker died more often than allowed."""

    code = "engine"


class TrackingError(DependencyError):
    """MLflow is out of reach."""

    code = "tracking"


class FlagServerError(DependencyError):
    """A flag server that others run is out of reach, or answers strangely."""

    code = "flag_server"


class DriftError(FlagServerError):
    """A flag server holds something else than it was told."""

    code = "drift"


class TryLaterError(ExpplatError):
    """Somebody holds the lease; nothing was changed."""

    code = "try_later"
    exit_status = 75


class ConfigurationError(ExpplatError):
    """A setting or a database schema that this version does not know."""

    code = "configuration"
    exit_status = 78
