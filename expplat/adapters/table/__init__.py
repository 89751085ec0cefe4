"""Tables of tests that were run elsewhere, added up by DuckDB where they lie."""

from expplat.adapters.table.tables import DuckTables

__all__ = ["DuckTables"]
