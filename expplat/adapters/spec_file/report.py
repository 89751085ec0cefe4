"""From findings, which know paths, to faults, which know lines."""

from __future__ import annotations

from collections.abc import Iterable

from expplat.adapters.spec_file.document import Document, field_name
from expplat.domain.proposal_rules import Finding
from expplat.errors import Fault

MOST = 100
"""Faults that are shown; a person mends these first."""


def faults_of(
    document: Document, structural: Iterable[Finding], rules: Iterable[Finding]
) -> tuple[Fault, ...]:
    """Return all faults of a file, in the order of its lines, each said once.

    Nothing more is said of a field that could not be read, and no rule speaks of a field whose
    type is wrong.
    """
    structural = list(structural)
    told = {finding.path for finding in structural}
    findings = [*structural, *(finding for finding in rules if finding.path not in told)]
    faults = {
        *document.faults,
        *(
            _fault(document, each)
            for each in findings
            if each.is_about_key or not document.is_spoilt(each.path)
        ),
    }
    return _shortened(sorted(faults))


def _fault(document: Document, finding: Finding) -> Fault:
    return Fault(
        line=document.line_of(finding.path),
        field=field_name(finding.path),
        message=finding.message,
        hint=finding.hint,
    )


def _shortened(faults: list[Fault]) -> tuple[Fault, ...]:
    if len(faults) <= MOST:
        return tuple(faults)
    more = Fault(
        line=faults[-1].line, field="", message=f"And at least {len(faults) - MOST:,} more."
    )
    return (*faults[:MOST], more)
