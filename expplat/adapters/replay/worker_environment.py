"""Which variables of the environment user code sees: those of a list, and those that are named."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

ALLOWED = (
    "CUDA_*",
    "HF_HOME",
    "HOME",
    "KMP_*",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "NVIDIA_*",
    "PATH",
    "PYTHON*",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
)
"""Names of variables that user code sees; none of them is made to hold a secret."""

PASS_ENV = "EXPPLAT_PASS_ENV"  # noqa: S105  (a name)
"""Names the further variables, separated by commas, that user code sees."""

THREADS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def passed(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that `EXPPLAT_PASS_ENV` names, where they are set."""
    names = (name.strip() for name in inherited.get(PASS_ENV, "").split(","))
    return {name: inherited[name] for name in names if name in inherited}


def allowed(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what is on the list; linear algebra is held to one thread.

    The CPU time of a call is that of its thread, so that threads of its own would go uncounted.
    Hashes of strings are the same in every worker, unless `PYTHONHASHSEED` says otherwise: what
    stands in the order of a set comes out alike on every engine.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in ALLOWED)
    }
    return {
        "PYTHONHASHSEED": "0",
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(THREADS, "1"),
    }
