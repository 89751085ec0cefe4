"""The report of a replay as files: the page that can be mailed, and what CI systems read."""

from __future__ import annotations

import os
from pathlib import Path

from expplat.adapters.report.junit import junit_xml
from expplat.adapters.report.markdown_report import report_markdown
from expplat.domain.plain import canonical_json
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.errors import InputError

PAGE = "report.html"

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Environment variable that names the file which a GitHub workflow shows as its summary."""


class ReportFiles:
    """Writes reports; see the port `Reports`."""

    def keep(
        self, report: ReplayReport, proposal: Proposal, page: str, ci_folder: Path | None
    ) -> Path:
        """Write the page beside the journal, and all forms of it into a folder for CI.

        Returns:
            Where the page is: in the folder for CI, where there is one.

        Raises:
            InputError: If a folder cannot be written.
        """
        place = _written(Path(report.plan.folder), {PAGE: page})
        if ci_folder is None:
            return place / PAGE
        markdown = report_markdown(report, proposal)
        forms = {
            PAGE: page,
            "report.md": markdown,
            "junit.xml": junit_xml(report, proposal),
            "verdict.json": canonical_json(report).decode() + "\n",
        }
        place = _written(ci_folder.absolute(), forms)
        _appended(os.environ.get(STEP_SUMMARY, ""), markdown)
        return place / PAGE


def _written(folder: Path, texts: dict[str, str]) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            draft = folder / f".{name}-{os.getpid()}"
            draft.write_text(text, encoding="utf-8")
            draft.replace(folder / name)
    except OSError as error:
        raise InputError(
            f"The report cannot be written into {folder}: {error.strerror}.",
            hint="The replay stands; name another folder with --out.",
        ) from error
    return folder


def _appended(summary: str, markdown: str) -> None:
    """Add the report to the summary of the workflow that we run in, if there is one."""
    if summary and Path(summary).is_file():
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{markdown}\n")
