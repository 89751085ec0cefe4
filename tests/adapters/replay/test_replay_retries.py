"""Waits for somebody's rate limit are no latency, and retries never multiply what is spent."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from expplat.adapters.replay.failures import failure_of
from expplat.adapters.replay.retries import FREE_RETRIES, RETRIES_FRACTION, RetryBudget
from expplat.domain.call import ProviderError, RateLimitedError
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.domain.request import ErrorKind
from tests.adapters.replay.working import worked

AT_ONCE = {"concurrency": 4, "latency_requests": 0, "shard_requests": 100}


def shaky(how, failures=1, **params):
    use = "pocs.providers.variants:Shaky"
    return Variant(use=use, params={"how": how, "failures": failures, **params})


@pytest.mark.parametrize("how", ["limits", "limits_by_status"])
@pytest.mark.parametrize("measurement", [{}, AT_ONCE])
def test_a_rate_limit_is_waited_for_and_costs_no_latency(make_plan, how, measurement):
    plan = make_plan(requests=4, treatment=shaky(how, only="r1"), measurement=measurement)

    rows = worked(plan)

    call = rows[1].calls[TREATMENT]
    assert (call.error, call.attempts) == (None, 2)
    assert 200 <= call.stages_ms["waiting"] <= 320
    assert call.latency_ms < 150
    assert set(call.stages_ms) == {"waiting", "generate"}
    assert call.input_tokens == 200
    assert [row.calls[TREATMENT].attempts for row in rows] == [1, 2, 1, 1]


@pytest.mark.parametrize("how", ["is_away", "fails"])
def test_somebodys_failure_is_tried_again(make_plan, how):
    plan = make_plan(requests=1, treatment=shaky(how))

    (row,) = worked(plan)

    call = row.calls[TREATMENT]
    assert (call.error, call.attempts) == (None, 2)
    assert call.stages_ms["waiting"] <= 600


@pytest.mark.parametrize(
    ("how", "kind", "attempts"),
    [
        ("limits_at_once", ErrorKind.RATE_LIMITED, 3),
        ("is_away", ErrorKind.PROVIDER_ERROR, 3),
        ("limits_for_an_hour", ErrorKind.RATE_LIMITED, 1),
        ("breaks", ErrorKind.VARIANT_BUG, 1),
    ],
)
def test_a_failure_that_stays_stands(make_plan, how, kind, attempts):
    plan = make_plan(requests=1, treatment=shaky(how, failures=99))

    (row,) = worked(plan)

    call = row.calls[TREATMENT]
    assert (call.error, call.attempts) == (kind, attempts)
    assert call.input_tokens == 100 * attempts


def test_the_plan_says_how_many_attempts_an_answer_may_take(make_plan):
    plan = make_plan(requests=1, treatment=shaky("limits_at_once", 4), measurement={"attempts": 5})

    (row,) = worked(plan)

    assert (row.calls[TREATMENT].error, row.calls[TREATMENT].attempts) == (None, 5)


@pytest.mark.parametrize("measurement", [{}, AT_ONCE])
def test_a_storm_of_rate_limits_does_not_multiply_the_calls(make_plan, tmp_path, measurement):
    note = tmp_path / "note"
    stormy = shaky("limits_at_once", 10**6, note=str(note))
    plan = make_plan(
        requests=100,
        control=stormy,
        treatment=stormy,
        measurement={"aa_requests": 0, "attempts": 10, "shard_requests": 100, **measurement},
    )

    rows = worked(plan)

    made = len(note.read_text().split())
    assert {call.error for row in rows for call in row.calls.values()} == {ErrorKind.RATE_LIMITED}
    assert 200 < made <= 200 * 1.25 + 10
    assert made == sum(call.attempts for row in rows for call in row.calls.values())


def test_a_wait_is_drawn_from_the_plan_alone(make_plan):
    waits = [
        [row.calls[TREATMENT].stages_ms["waiting"] for row in worked(plan)]
        for plan in (make_plan(requests=3, treatment=shaky("fails")) for _ in range(2))
    ]

    assert waits[0] == pytest.approx(waits[1], abs=30)
    assert max(waits[0]) - min(waits[0]) > 60


def test_the_time_limit_is_that_of_an_attempt(make_plan):
    plan = make_plan(requests=1, treatment=shaky("limits"), measurement={"timeout_s": 0.1})

    (row,) = worked(plan)

    assert row.calls[TREATMENT].error is None
    assert row.calls[TREATMENT].stages_ms["waiting"] >= 200


def test_retries_are_held_to_a_quarter_of_the_answers():
    budget = RetryBudget()
    taken = 0
    for _ in range(400):
        budget.count_answer()
        taken += sum(budget.take() for _ in range(5))

    assert taken == FREE_RETRIES + RETRIES_FRACTION * 400


class Status(Exception):  # noqa: N818
    def __init__(self, **attributes):
        super().__init__("status")
        for name, value in attributes.items():
            setattr(self, name, value)


class Response:
    def __init__(self, status_code, headers=None):
        self.status_code = status_code
        self.headers = headers or {}


class ConnectError(Exception):
    """As a client of HTTP calls it, that has no common base with ours."""


class ConnectionTimeoutError(ConnectError, TimeoutError):
    """Both at once."""


class Spiteful(Exception):  # noqa: N818
    @property
    def status_code(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimitedError(), ErrorKind.RATE_LIMITED),
        (Status(status_code=429), ErrorKind.RATE_LIMITED),
        (Status(response=Response(429)), ErrorKind.RATE_LIMITED),
        (Status(status=429), ErrorKind.RATE_LIMITED),
        (Status(code=429), ErrorKind.RATE_LIMITED),
        (ProviderError(), ErrorKind.PROVIDER_ERROR),
        (Status(status_code=500), ErrorKind.PROVIDER_ERROR),
        (Status(response=Response(503)), ErrorKind.PROVIDER_ERROR),
        (ConnectionResetError(), ErrorKind.PROVIDER_ERROR),
        (ConnectError(), ErrorKind.PROVIDER_ERROR),
        (TimeoutError(), ErrorKind.TIMEOUT),
        (ConnectionTimeoutError(), ErrorKind.TIMEOUT),
        (ExceptionGroup("", [ExceptionGroup("", [RateLimitedError()])]), ErrorKind.RATE_LIMITED),
        (Status(status_code=404), ErrorKind.VARIANT_BUG),
        (Status(status_code="429"), ErrorKind.VARIANT_BUG),
        (Status(code=1062), ErrorKind.VARIANT_BUG),
        (Status(status_code=True), ErrorKind.VARIANT_BUG),
        (Spiteful(), ErrorKind.VARIANT_BUG),
        (SystemExit(429), ErrorKind.VARIANT_BUG),
        (MemoryError(), ErrorKind.VARIANT_BUG),
    ],
)
def test_an_exception_says_whose_failure_it_is(error, kind):
    assert failure_of(error, Path("/nowhere")).kind is kind


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitedError(retry_after_s=1.5), 1.5),
        (Status(status_code=429, headers={"Retry-After": "7"}), 7.0),
        (Status(status_code=429, headers={"retry-after": 7}), 7.0),
        (Status(response=Response(503, {"Retry-After": "0.5"})), 0.5),
        (Status(status_code=429, headers={"Retry-After": "-3"}), 0.0),
        (Status(status_code=429, headers={"Retry-After": "soon"}), None),
        (Status(status_code=429, headers={"Retry-After": "inf"}), None),
        (Status(status_code=429, headers=["Retry-After"]), None),
        (Status(status_code=429), None),
        (Status(status_code=404, headers={"Retry-After": "7"}), None),
    ],
)
def test_when_to_come_back_is_read_wherever_it_is_said(error, seconds):
    assert failure_of(error, Path("/nowhere")).retry_after_s == seconds


def test_when_to_come_back_may_be_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    failure = failure_of(Status(status_code=503, headers={"Retry-After": date}), Path("/nowhere"))

    assert failure.retry_after_s is not None
    assert 85 < failure.retry_after_s <= 90


def test_control_is_retried_as_treatment_is(make_plan):
    plan = make_plan(requests=6, control=shaky("limits_at_once"), treatment=shaky("limits_at_once"))

    rows = worked(plan)

    attempts = Counter((arm, call.attempts) for row in rows for arm, call in row.calls.items())
    assert attempts[CONTROL, 2] + attempts["control_again", 2] == 6
    assert attempts[TREATMENT, 2] == 6
