"""A replay as JUnit XML, which every build server reads: a test case for each gate."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from expplat.adapters.report.replay_reading import gate_name, headline
from expplat.domain.gate import Ruling, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.domain.wording import interval

NOTHING_JUDGED = "gates"
"""Name of the case that fails where there is no verdict at all: silence is no success."""

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write, not even escaped."""


def junit_xml(report: ReplayReport, proposal: Proposal) -> str:
    """Return a replay as JUnit XML.

    A gate that failed is a failure; so is one whose answer is not known, under the type `unknown`,
    because a build must not go green on what was not proven.

    Args:
        report: The replay.
        proposal: What it was judged by.
    """
    cases = [_case(verdict, proposal.slug) for verdict in report.verdicts]
    if not cases:
        cases = [_nothing_judged(report, proposal.slug)]
    failures = sum(case.find("failure") is not None for case in cases)
    seconds = (report.finished_at - report.started_at).total_seconds()
    counts = {
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": "0",
        "skipped": "0",
        "time": f"{max(seconds, 0.0):.3f}",
    }
    root = Element("testsuites", {"name": "expplat", **counts})
    name = _xml(f"expplat.replay.{proposal.slug}")
    at = report.started_at.isoformat(timespec="seconds")
    suite = SubElement(root, "testsuite", {"name": name, "timestamp": at, **counts})
    suite.append(_properties(report, proposal))
    suite.extend(cases)
    indent(root)
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return f"{written.decode()}\n"


def _properties(report: ReplayReport, proposal: Proposal) -> Element:
    plan = report.plan
    told = {
        "ruling": report.ruling.value,
        "replay_id": plan.replay_id,
        "proposal_sha256": plan.proposal_sha256,
        "log_sha256": plan.log_sha256,
        "control_sha256": plan.control_sha256,
        "treatment_sha256": plan.treatment_sha256,
        "verdict_sha256": report.verdict_sha256,
        "engine": report.engine,
        "requests": str(plan.requests),
        "stopped": report.stopped,
    }
    told |= {f"waived.{one.phase}.{one.concern}": one.reason for one in proposal.waivers}
    properties = Element("properties")
    for name, value in told.items():
        if value:
            SubElement(properties, "property", {"name": name, "value": _xml(value)})
    return properties


def _case(verdict: Verdict, slug: str) -> Element:
    case = _named(gate_name(verdict), slug)
    if verdict.ruling is Ruling.FAIL:
        _fail(case, "fail", verdict.sentence, _evidence(verdict))
    elif verdict.ruling is not Ruling.PASS:
        why = f"Not known, and what is not proven does not pass: {verdict.sentence}"
        _fail(case, "unknown", why, _evidence(verdict))
    return case


def _nothing_judged(report: ReplayReport, slug: str) -> Element:
    case = _named(NOTHING_JUDGED, slug)
    _fail(case, "unknown", headline(report), report.stopped)
    return case


def _named(name: str, slug: str) -> Element:
    told = {"classname": _xml(f"expplat.replay.{slug}"), "name": _xml(name), "time": "0"}
    return Element("testcase", told)


def _fail(case: Element, kind: str, message: str, text: str) -> None:
    failure = SubElement(case, "failure", {"type": kind, "message": _xml(message)})
    failure.text = _xml(text)


def _evidence(verdict: Verdict) -> str:
    effect = verdict.effect
    if effect is None:
        return verdict.sentence
    counts = f"n = {effect.n_control} + {effect.n_treatment}"
    lines = (f"{effect.metric}: {interval(effect)}", f"{effect.method}; {counts}")
    return "\n".join((*lines, *effect.warnings))


def _xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
