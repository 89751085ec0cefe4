"""Loads the technique code of a workspace, and holds it against what it is asked to be."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from expplat.adapters.replay.workspace_sources import MESSAGE_CHARACTERS
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


def made(variant: Variant) -> Any:
    """Return a variant ready to be called, by itself or by its `batch`; `setup` is not run.

    Raises:
        CodeError: If there is no such code, or it cannot be called as a variant.
    """
    found = load(variant.use)
    must_fit(found, variant.params)
    if inspect.isclass(found):
        return found(**variant.params)
    return partial(found, **variant.params) if variant.params else found


def must_fit(found: Any, params: Mapping[str, Any]) -> None:
    """Raise CodeError unless it can be called as a variant, with these params.

    A variant is a function of a request and a call, or a class that is made with the params and
    has `__call__` of the two, or `batch` of a list of each; each of them may be asynchronous.
    """
    if inspect.isclass(found):
        _must_be_a_class_of_variants(found, params)
    elif not callable(found):
        raise CodeError(
            "use",
            f"It names a {type(found).__name__}, not a class or a function.",
            "Name a function of (request, call), or a class with such a __call__.",
        )
    else:
        _must_return(found)
        _must_bind(found, "params", (None, None), params)


def is_asynchronous(code: Any) -> bool:
    """Whether calling it gives something to await."""
    while isinstance(code, partial):
        code = code.func
    return inspect.iscoroutinefunction(code) or inspect.iscoroutinefunction(
        _member(type(code), "__call__")
    )


def batch_of(variant: Any) -> Callable[..., Any] | None:
    """Return what answers several requests at once; None where a variant has no such thing."""
    found = None if inspect.isroutine(variant) else getattr(variant, "batch", None)
    return found if callable(found) else None


def takes_context(setup: Callable[..., Any]) -> bool:
    """Whether a `setup` is to be handed a context, rather than nothing."""
    try:
        inspect.signature(setup).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def must_measure(found: Any) -> None:
    """Raise CodeError unless it can be called as a metric."""
    if not callable(found):
        raise CodeError("use", f"It names a {type(found).__name__}, not a function.")
    _must_bind(found, "use", (None, None), {})


def _must_be_a_class_of_variants(found: type, params: Mapping[str, Any]) -> None:
    _must_bind(found, "params", (), params)
    answers = {name: _member(found, name) for name in ("__call__", "batch")}
    if not any(answers.values()):
        raise CodeError(
            "use",
            f"The class {found.__name__} cannot be called.",
            "Give it a method __call__(self, request, call), or batch(self, requests, calls).",
        )
    for method in filter(None, answers.values()):
        _must_return(method)
        _must_bind(method, "use", (None, None, None), {})
    for name, most in (("setup", 1), ("close", 0)):
        _must_take_at_most(_member(found, name), name, most)


def _member(found: type, name: str) -> Any:
    """Return the method that a class defines itself, or a base of it; not what `type` does."""
    member = next((vars(base)[name] for base in found.__mro__ if name in vars(base)), None)
    return member if callable(member) or isinstance(member, classmethod) else None


def _must_return(code: Any) -> None:
    """Refuse code that yields: one answer is asked for, not a stream of parts."""
    for candidate in (code, _member(type(code), "__call__")):
        if inspect.isgeneratorfunction(candidate) or inspect.isasyncgenfunction(candidate):
            raise CodeError(
                "use",
                "It yields its answer in parts.",
                "Return one Output; what is streamed to users is gathered first.",
            )


def _must_take_at_most(method: Any, name: str, most: int) -> None:
    """Refuse a method that is run once and asks for more than it is handed."""
    if method is None or not inspect.isfunction(method):
        return
    signature = inspect.signature(method)
    for count in range(most + 1):
        try:
            signature.bind(None, *(None,) * count)
        except TypeError:
            continue
        return
    forms = f"{name}(self)" if most == 0 else f"{name}(self) or {name}(self, context)"
    raise CodeError("use", f"Its {_shown(method, signature)} asks for too much.", f"Write {forms}.")


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
