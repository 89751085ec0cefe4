"""What is typed about metrics becomes a question, or every fault of it at once."""

from __future__ import annotations

import pytest

from expplat.domain.metric import Direction
from expplat.domain.question import AskedKind, Condition, ProportionMethod
from expplat.errors import FaultsError
from expplat.flow.asking import Words, asked_metrics, both, shares_of


def asked(*metrics, **words):
    return asked_metrics(Words(metrics, **words))


@pytest.mark.parametrize(
    ("text", "kind", "column", "denominator", "direction"),
    [
        ("converted=proportion", AskedKind.PROPORTION, "converted", None, Direction.HIGHER),
        ("rev=mean:revenue_usd", AskedKind.MEAN, "revenue_usd", None, Direction.HIGHER),
        ("cost=mean:usd:lower", AskedKind.MEAN, "usd", None, Direction.LOWER),
        ("ctr=ratio:clicks/views", AskedKind.RATIO, "clicks", "views", Direction.HIGHER),
        ("calls=count", AskedKind.COUNT, "calls", None, Direction.HIGHER),
        ("e2e=latency:total_s", AskedKind.LATENCY, "total_s", None, Direction.LOWER),
        ("e2e=mean:total_s:latency", AskedKind.LATENCY, "total_s", None, Direction.LOWER),
        ("usd:cost", AskedKind.COST, "usd", None, Direction.LOWER),
        ("odd=mean:a:b", AskedKind.MEAN, "a:b", None, Direction.HIGHER),
    ],
)
def test_a_metric_is_read_as_it_is_written(text, kind, column, denominator, direction):
    (metric,) = asked(text)

    assert (metric.kind, metric.column) == (kind, column)
    assert (metric.denominator, metric.direction) == (denominator, direction)


def test_a_quantile_is_named_by_its_number():
    (metric,) = asked("slow=p99.9:total_ms:lower")

    assert metric.kind is AskedKind.QUANTILE
    assert metric.q == pytest.approx(0.999)


def test_a_share_may_be_that_of_the_values_over_a_bound():
    (metric,) = asked("slow=proportion:latency ms>=800:lower")

    assert metric.column == "latency ms"
    assert metric.condition == Condition(sign=">=", bound=800.0)


def test_a_margin_makes_a_guardrail_and_options_find_their_metric():
    goal, guardrail = asked(
        "won=proportion",
        "usd=mean:usd:lower",
        margins=("usd=0.001",),
        min_effects=("won=0.02",),
        caps=("usd=0.99",),
        methods=("newcombe",),
    )

    assert not goal.is_guardrail
    assert guardrail.is_guardrail
    assert (goal.min_effect, guardrail.cap_quantile) == (0.02, 0.99)
    assert goal.method is ProportionMethod.NEWCOMBE


def test_every_fault_of_the_words_is_named_at_once():
    with pytest.raises(FaultsError) as caught:
        asked(
            "a=men:x",
            "b=ratio:x",
            "c=mean:x/y",
            "d=mean",
            "d=mean",
            "nothing",
            margins=("dd=1", "d=-1", "d"),
            methods=("d=wilson",),
        )

    said = " ".join(f"{fault.field} {fault.message} {fault.hint}" for fault in caught.value.faults)
    assert len(caught.value.faults) == 9
    for word in (
        "Did you mean mean?",
        "needs a denominator",
        "has no denominator",
        "asked for twice",
        "'nothing'",
        "'-1' of d",
        "Did you mean d?",
        "NAME=VALUE",
        "agresti_caffo",
    ):
        assert word in said


def test_a_split_is_a_list_of_shares():
    assert shares_of("control=5,b=1") == {"control": 5.0, "b": 1.0}
    assert shares_of(None) == {}


@pytest.mark.parametrize("text", ["5,1", "control=0,b=1", "control=x", "control=5,,b=1"])
def test_a_split_that_is_none_is_refused(text):
    with pytest.raises(FaultsError):
        shares_of(text)


def test_the_faults_of_metrics_and_split_come_together():
    with pytest.raises(FaultsError) as caught:
        both(lambda: asked("x=men"), lambda: shares_of("5"))

    assert {fault.field for fault in caught.value.faults} == {"--metric", "--split"}
