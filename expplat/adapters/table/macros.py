"""What cells mean, in DuckDB's own words: fixed SQL, with no name of any table's column in it.

A cell that cannot be what is asked of it becomes an infinity. Sums of it are infinite too, so that
one pass over good data is enough, and only bad data is searched for an example.
"""

from __future__ import annotations

MACROS = (
    """CREATE MACRO text_in(x) AS nullif(CAST(x AS VARCHAR), '')""",
    """CREATE MACRO whole_text_in(x) AS
       CASE WHEN isnan(x) THEN NULL
            WHEN x = round(x) AND abs(x) < 9e15 THEN CAST(CAST(x AS BIGINT) AS VARCHAR)
            ELSE CAST(x AS VARCHAR) END""",
    """CREATE MACRO is_blank(x) AS
       x IS NULL OR lower(trim(x)) IN ('', 'na', 'n/a', 'nan', 'null', 'none')""",
    """CREATE MACRO without_nan(x) AS CASE WHEN isnan(x) THEN NULL ELSE x END""",
    """CREATE MACRO odd_number_in(x) AS
       CASE WHEN is_blank(x) THEN NULL
            WHEN lower(trim(x)) = 'true' THEN 1.0::DOUBLE
            WHEN lower(trim(x)) = 'false' THEN 0.0::DOUBLE
            ELSE coalesce(TRY_CAST(trim(x) AS DOUBLE), 'inf'::DOUBLE) END""",
    """CREATE MACRO number_in(x) AS coalesce(TRY_CAST(x AS DOUBLE), odd_number_in(x))""",
    """CREATE MACRO yes_or_no(x) AS
       CASE WHEN x = 0 OR x = 1 THEN x
            WHEN x IS NULL OR isnan(x) THEN NULL ELSE 'inf'::DOUBLE END""",
    """CREATE MACRO yes_or_no_in(x) AS
       CASE WHEN x = '1' THEN 1.0::DOUBLE
            WHEN x = '0' THEN 0.0::DOUBLE
            WHEN lower(trim(x)) IN ('true', 't', 'yes', 'y') THEN 1.0::DOUBLE
            WHEN lower(trim(x)) IN ('false', 'f', 'no', 'n') THEN 0.0::DOUBLE
            WHEN is_blank(x) THEN NULL
            ELSE yes_or_no(coalesce(TRY_CAST(trim(x) AS DOUBLE), 'inf'::DOUBLE)) END""",
    """CREATE MACRO as_yes(is_met, x) AS
       CASE WHEN x IS NULL OR isnan(x) THEN NULL
            WHEN isinf(x) THEN x ELSE CAST(is_met AS DOUBLE) END""",
    """CREATE MACRO is_failure(x) AS
       x IS NOT NULL AND lower(trim(x)) NOT IN
       ('', '0', '0.0', 'false', 'f', 'no', 'none', 'null', 'nan', 'ok')""",
    """CREATE MACRO distinct_count(x) AS count(DISTINCT x)""",
    *(
        f"""CREATE MACRO try_cast_to_{kind}(x) AS TRY_CAST(x AS {kind})"""
        for kind in ("bigint", "double", "boolean", "date", "timestamp")
    ),
)
"""Run once on every connection."""
