"""Experiment files and their kin: YAML in, domain values or every fault out."""

from expplat.adapters.spec_file.document import Document, field_name, read_document
from expplat.adapters.spec_file.regular_file import read_regular_file
from expplat.adapters.spec_file.report import faults_of
from expplat.adapters.spec_file.schema import json_schema
from expplat.adapters.spec_file.spec import SpecFile
from expplat.adapters.spec_file.structure import Structure

__all__ = [
    "Document",
    "SpecFile",
    "Structure",
    "faults_of",
    "field_name",
    "json_schema",
    "read_document",
    "read_regular_file",
]
