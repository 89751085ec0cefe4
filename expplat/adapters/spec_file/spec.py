"""Experiment files: bytes in, a proposal or every fault out."""

from __future__ import annotations

from functools import cache
from pathlib import PurePath

from expplat.adapters.spec_file.document import read_document
from expplat.adapters.spec_file.report import faults_of
from expplat.adapters.spec_file.schema import json_schema
from expplat.adapters.spec_file.structure import Structure
from expplat.domain.proposal import Proposal
from expplat.domain.proposal_rules import Catalogue, rule_faults
from expplat.errors import ConfigurationError, FaultsError
from expplat.metrics.catalogue import built_in, suggestions

ENDINGS = (".yaml", ".yml")


class SpecFile:
    """Reads experiment files: YAML 1.2 with the types of JSON, nothing else."""

    def __init__(self) -> None:
        self._catalogue = Catalogue(built_in=built_in, suggestions=suggestions)

    def read(self, content: bytes, source: str) -> Proposal:
        """Return the proposal.

        Args:
            content: The file as it is, at most 1 MB.
            source: The file's name, or another word for where it comes from; a name that ends
                in `.yaml` must be the slug's.

        Raises:
            FaultsError: With every fault of the file, by line (the first hundred).
        """
        document = read_document(content, source)
        path = PurePath(source)
        stem = path.stem if path.suffix in ENDINGS else None
        proposal, structural = _structure().check(document.value)
        rules = rule_faults(document.value, catalogue=self._catalogue, stem=stem)
        faults = faults_of(document, structural, rules)
        if faults or proposal is None:
            raise FaultsError(source, faults)
        return proposal

    def thaw(self, text: str) -> Proposal:
        """Return a proposal that was checked when it was frozen; later rules do not judge it.

        Raises:
            ConfigurationError: If this version cannot read what an earlier one froze.
        """
        document = read_document(text.encode(), "frozen proposal")
        proposal, structural = _structure().check(document.value)
        if proposal is None:
            fault = faults_of(document, structural, ())[0]
            raise ConfigurationError(
                f"A proposal frozen earlier cannot be read: {fault.field}: {fault.message}",
                hint="Use the version of expplat that froze it.",
            )
        return proposal


@cache
def _structure() -> Structure[Proposal]:
    return Structure(Proposal, json_schema())
