"""The decorator that runs each call of a function as a request, whatever kind of function it is.

A generator is a request from its first step to its last. What runs between two steps is its
reader's code, so `usage()` finds the request inside of the steps alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

from expplat.client._guard import attempt
from expplat.client._timing import Reports, RequestScope

P = ParamSpec("P")
T = TypeVar("T")

Function = Callable[..., Any]


def timed(
    open_request: Callable[[str | None], RequestScope],
    unit: Callable[..., str | None],
    reports: Reports,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a decorator that runs each call of a function, plain or async, as a request."""

    def scope_of(*args: Any, **kwargs: Any) -> RequestScope:
        found = attempt(reports, "unit", lambda: unit(*args, **kwargs), lambda: None)
        return open_request(found)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if inspect.iscoroutinefunction(function):
            wrapped = _coroutine(function, scope_of)
        elif inspect.isgeneratorfunction(function):
            wrapped = _generator(function, scope_of)
        elif inspect.isasyncgenfunction(function):
            wrapped = _async_generator(function, scope_of)
        else:
            wrapped = _plain(function, scope_of, reports)
        return cast("Callable[P, T]", functools.update_wrapper(wrapped, function))

    return decorate


def _coroutine(function: Function, scope_of: Callable[..., RequestScope]) -> Function:
    async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
        with scope_of(*args, **kwargs):
            return await function(*args, **kwargs)

    return timed_coroutine


def _generator(function: Function, scope_of: Callable[..., RequestScope]) -> Function:
    def timed_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        scope, steps = scope_of(*args, **kwargs), function(*args, **kwargs)
        with _lasting(scope):
            step = functools.partial(next, steps)
            while True:
                try:
                    value = _inside(scope, step)
                except StopIteration as end:
                    return end.value
                try:
                    given = yield value
                except BaseException as error:  # noqa: BLE001  (whatever it is, it is the function's)
                    step = functools.partial(steps.throw, error)
                else:
                    step = functools.partial(steps.send, given)

    return timed_generator


def _async_generator(function: Function, scope_of: Callable[..., RequestScope]) -> Function:
    async def timed_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        scope, steps = scope_of(*args, **kwargs), function(*args, **kwargs)
        with _lasting(scope):
            step = steps.asend(None)
            while True:
                try:
                    value = await _inside_async(scope, step)
                except StopAsyncIteration:
                    return
                try:
                    given = yield value
                except BaseException as error:  # noqa: BLE001  (whatever it is, it is the function's)
                    step = steps.athrow(error)
                else:
                    step = steps.asend(given)

    return timed_async_generator


def _plain(function: Function, scope_of: Callable[..., RequestScope], reports: Reports) -> Function:
    """What a function is that was decorated before, or that calls another, shows in its result."""

    def timed_function(*args: Any, **kwargs: Any) -> Any:
        scope = scope_of(*args, **kwargs)
        scope.begin()
        try:
            result = _inside(scope, lambda: function(*args, **kwargs))
        except BaseException as error:
            scope.end(type(error))
            raise
        if inspect.iscoroutine(result):
            return _until_awaited(scope, result)
        if inspect.isgenerator(result):
            return _generator(lambda: result, lambda: scope)()
        if inspect.isasyncgen(result):
            return _async_generator(lambda: result, lambda: scope)()
        if inspect.isawaitable(result):
            # To put a coroutine in the place of a task would take its methods from the host.
            scope.stop()
            message = (
                f"`timed` cannot tell how long a {type(result).__name__} takes, and reports "
                f"nothing of `{getattr(function, '__name__', function)}`; time what it awaits."
            )
            reports.complaints.about("timed", message)
            return result
        scope.end()
        return result

    return timed_function


async def _until_awaited(scope: RequestScope, result: Awaitable[T]) -> T:
    try:
        value = await _inside_async(scope, result)
    except BaseException as error:
        scope.end(type(error))
        raise
    scope.end()
    return value


@contextmanager
def _lasting(scope: RequestScope) -> Iterator[None]:
    """Time a block that other code runs in the middle of."""
    scope.begin()
    try:
        yield
    except BaseException as error:
        scope.end(type(error))
        raise
    scope.end()


def _inside(scope: RequestScope, step: Callable[[], T]) -> T:
    token = scope.step_in()
    try:
        return step()
    finally:
        scope.step_out(token)


async def _inside_async(scope: RequestScope, step: Awaitable[T]) -> T:
    token = scope.step_in()
    try:
        return await step
    finally:
        scope.step_out(token)
