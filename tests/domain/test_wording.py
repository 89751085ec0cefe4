"""Numbers as people read them."""

from __future__ import annotations

import pytest

from expplat.domain.wording import declared, number


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (0.0, "0"),
        (12.5, "12.5"),
        (-0.1234567, "−0.123"),
        (9_999.4, "9,999.4"),
        (396_521.4, "396,521"),
        (-12_345.0, "−12,345"),
        (4.1e-09, "4.1e-09"),
        (-3e12, "−3e+12"),
    ],
)
def test_a_number_is_short_and_exact_enough(value, written):
    assert number(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(1.2e-07, "1.2e-07"), (-0.5, "−0.5"), (12_000.0, "12,000"), (5.0, "5")]
)
def test_what_a_file_declares_is_written_as_it_stands(value, written):
    assert declared(value) == written
