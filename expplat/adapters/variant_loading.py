"""Loads the technique code of a workspace, and holds it against what it is asked to be."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from expplat.adapters.workspace_sources import MESSAGE_CHARACTERS
from expplat.domain.proposal import Variant


class CodeError(Exception):
    """The code that a `use` names cannot be used; `part` is the field at fault, with a hint."""

    def __init__(self, part: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.part = part
        self.message = message
        self.hint = hint


@contextmanager
def workspace_imports(workspace: Path) -> Iterator[None]:
    """Let the workspace's modules be imported, and forget them afterwards.

    Within, the workspace stands first on the search path, and modules that were imported under
    the same names before, from another workspace perhaps, are set aside; afterwards they are back.
    """
    names = _names_of(workspace)
    aside = _taken_out(names)
    importlib.invalidate_caches()
    sys.path.insert(0, str(workspace))
    try:
        yield
    finally:
        sys.path.remove(str(workspace))
        _taken_out(names)
        sys.modules.update(aside)


def load(use: str) -> Any:
    """Return what `module:attribute` names.

    Raises:
        CodeError: If there is no such module or attribute. What the module itself raises while it
            is imported comes through as it is.
    """
    module_name, colon, attribute = use.partition(":")
    if not (colon and module_name and attribute):
        raise CodeError("use", f"{use!r} is not of the form module:attribute.")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise CodeError(
            "use",
            f"There is no module {error.name!r} in the workspace.",
            "Write the path from the workspace's folder with dots, such as pocs.my_poc.variants.",
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            offered = ", ".join(_offered(found)) or "nothing"
            raise CodeError("use", f"{module_name} has no {attribute!r}.", f"It offers: {offered}.")
        found = getattr(found, name)
    return found


def made(variant: Variant) -> Callable[..., Any]:
    """Return a variant ready to be called with a request and a call; `setup` is not run."""
    found = load(variant.use)
    must_fit(found, variant.params)
    if inspect.isclass(found):
        instance = found(**variant.params)
        return cast("Callable[..., Any]", instance)
    return _with_params(found, dict(variant.params))


def must_fit(found: Any, params: Mapping[str, Any]) -> None:
    """Raise CodeError unless it can be called as a variant, with these params."""
    if inspect.isclass(found):
        _must_bind(found, "params", (), params)
        answers = next(
            (vars(base)["__call__"] for base in found.__mro__ if "__call__" in vars(base)), None
        )
        if answers is None:
            raise CodeError(
                "use",
                f"The class {found.__name__} cannot be called.",
                "Give it a method __call__(self, request, call).",
            )
        _must_bind(answers, "use", (None, None, None), {})
    elif not callable(found):
        raise CodeError("use", f"It names a {type(found).__name__}, not a class or a function.")
    else:
        _must_bind(found, "params", (None, None), params)


def must_measure(found: Any) -> None:
    """Raise CodeError unless it can be called as a metric."""
    if not callable(found):
        raise CodeError("use", f"It names a {type(found).__name__}, not a function.")
    _must_bind(found, "use", (None, None), {})


def _with_params(function: Callable[..., Any], params: dict[str, Any]) -> Callable[..., Any]:
    if not params:
        return function
    return lambda request, call: function(request, call, **params)


def _must_bind(
    found: Any, part: str, positional: tuple[Any, ...], params: Mapping[str, Any]
) -> None:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*positional, **params)
    except TypeError as error:
        raise CodeError(part, f"It does not fit {_shown(found, signature)}: {error}.") from error


def _shown(found: Any, signature: inspect.Signature) -> str:
    return f"{getattr(found, '__name__', type(found).__name__)}{signature}"[:MESSAGE_CHARACTERS]


def _offered(found: Any) -> list[str]:
    own = getattr(found, "__name__", "")
    return sorted(
        name
        for name, value in vars(found).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == own
    )[:10]


def _names_of(workspace: Path) -> set[str]:
    """Return the top-level names that the workspace answers to, not an installed package."""
    found = {path.stem for path in workspace.iterdir() if not path.name.startswith(".")}
    return {
        name
        for name in found - {"expplat"}
        if (workspace / f"{name}.py").exists()
        or (workspace / name / "__init__.py").exists()
        or getattr(sys.modules.get(name), "__file__", None) is None
    }


def _taken_out(names: set[str]) -> dict[str, Any]:
    """Take the modules of these top-level names out of the imported ones, and return them."""
    found = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}
