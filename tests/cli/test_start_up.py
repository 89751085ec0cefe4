"""What the command line loads, and how it answers what it does not understand."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("ray", "mlflow", "pandas", "statsmodels", "sqlalchemy", "fastapi", "scipy", "numpy",
         "growthbook", "sklearn", "alembic")  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["replay", "--help"], ["--version"]])
def test_help_loads_no_heavy_product(words):
    script = (
        "import sys\n"
        f"sys.argv = ['expplat', *{words!r}]\n"
        "from expplat.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_the_public_names_of_a_poc_author_load_no_product():
    script = (
        "import sys\nfrom expplat import Call, Output, Request\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "[]"
