"""Probing the code of a workspace."""

from __future__ import annotations

import sys
import textwrap
import tracemalloc

import pytest

from expplat.adapters.replay.variant_code import WorkspaceCode
from expplat.domain.metric import Direction, Metric, MetricKind
from expplat.domain.proposal import Variant, Variants
from expplat.errors import FaultsError

GOOD = "def answer(request, call, *, k=1):\n    return 'so'\n"


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "pocs" / "x").mkdir(parents=True)
    write(tmp_path, "good", GOOD)
    return tmp_path


def write(workspace, name, content):
    (workspace / "pocs" / "x" / f"{name}.py").write_text(textwrap.dedent(content))


def probe(workspace, *, control="good:answer", params=None, metrics=(), **keywords):
    return WorkspaceCode(**keywords).probe(
        workspace,
        Variants(
            control=Variant(use=f"pocs.x.{control}", params=params or {}),
            treatment=Variant(use="pocs.x.good:answer", params={"k": 2}),
        ),
        [
            Metric(
                name=f"m{n}",
                kind=MetricKind.MEAN,
                direction=Direction.HIGHER,
                unit="points",
                use=f"pocs.x.{use}",
            )
            for n, use in enumerate(metrics)
        ],
    )


def fault_of(workspace, **keywords):
    with pytest.raises(FaultsError) as caught:
        probe(workspace, **keywords)
    (fault,) = caught.value.faults
    return fault


def test_sound_code_has_the_same_hashes_each_time(workspace):
    first, second = probe(workspace), probe(workspace)

    assert first == second
    assert first.control_sha256 != first.treatment_sha256
    assert not list(workspace.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named"),
        ("x = 1\nraise ValueError('broken at import')\n", "broken at import (pocs/x/bad.py:2)"),
        ("def answer(:\n", "pocs/x/bad.py:1"),
        ("import sys\nsys.exit(4)\n", "SystemExit: 4 (pocs/x/bad.py:2)"),
        ("import os, sys\nsys.stderr.write('out of here')\nsys.stderr.flush()\nos._exit(9)\n",
         "status 9: out of here"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("other = 1\n", "has no 'answer'"),
        ("answer = 5\n", "names a int"),
        ("class answer:\n    pass\n", "cannot be called"),
        ("class answer:\n    def __call__(self, request): ...\n", "does not fit"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_module_is_said_in_one_line(workspace, source, words):
    write(workspace, "bad", source)

    fault = fault_of(workspace, control="bad:answer")

    assert fault.field == "variants.control.use"
    assert words in fault.message
    assert "\n" not in fault.message


@pytest.mark.parametrize(
    ("source", "params"),
    [
        (GOOD, {"kk": 1}),
        (
            "class answer:\n def __init__(self, k): ...\n def __call__(self, request, call): ...\n",
            {},
        ),
        ("def answer(request): ...\n", {}),
    ],
)
def test_params_that_do_not_fit_are_a_fault_of_the_params(workspace, source, params):
    write(workspace, "fits", source)

    fault = fault_of(workspace, control="fits:answer", params=params)

    assert fault.field == "variants.control.params"
    assert "It does not fit answer(" in fault.message


def test_a_module_that_is_not_there_is_named(workspace):
    fault = fault_of(workspace, control="absent:answer")

    assert fault.message == "There is no module 'pocs.x.absent' in the workspace."


def test_an_import_that_hangs_is_ended(workspace):
    write(workspace, "slow", "import time\ntime.sleep(60)\n")

    fault = fault_of(workspace, control="slow:answer", timeout_s=2.0)

    assert "takes over 2 s" in fault.message


def test_faults_of_variants_and_metrics_come_all_at_once(workspace):
    write(workspace, "bad", "raise ValueError\n")

    with pytest.raises(FaultsError) as caught:
        probe(workspace, control="bad:x", metrics=["good:answer", "good:absent", "bad:y"])

    assert [fault.field for fault in caught.value.faults] == [
        "metrics[1].use",
        "metrics[2].use",
        "variants.control.use",
    ]


def test_nothing_is_set_up_and_nothing_comes_into_this_process(workspace, capfd):
    write(
        workspace,
        "loud",
        """
        import os
        print("loud")
        os.write(1, b"louder")
        class Loud:
            def __init__(self):
                open("made", "w").close()
            def __call__(self, request, call): ...
        """,
    )
    modules = set(sys.modules)

    probe(workspace, control="loud:Loud")

    assert capfd.readouterr() == ("", "")
    assert not (workspace / "made").exists()
    assert set(sys.modules) == modules


def test_the_hash_follows_every_file_that_the_import_pulled_in(workspace):
    write(workspace, "deep", "VALUE = 1\n")
    write(workspace, "middle", "from pocs.x.deep import VALUE\n")
    write(workspace, "top", "from pocs.x import middle\n" + GOOD)
    write(workspace, "unused", "VALUE = 1\n")
    before = probe(workspace, control="top:answer")
    write(workspace, "unused", "VALUE = 2\n")
    unused = probe(workspace, control="top:answer")
    write(workspace, "deep", "VALUE = 2\n")

    after = probe(workspace, control="top:answer")

    assert unused == before
    assert after.control_sha256 != before.control_sha256
    assert after.treatment_sha256 == before.treatment_sha256


def test_the_hash_follows_params_and_the_code_of_own_metrics(workspace):
    write(workspace, "judge", "def points(request, output):\n    return 1.0\n")
    plain = probe(workspace)
    other_params = probe(workspace, params={"k": 3})
    judged = probe(workspace, metrics=["judge:points"])
    write(workspace, "judge", "def points(request, output):\n    return 2.0\n")

    judged_anew = probe(workspace, metrics=["judge:points"])

    assert other_params.control_sha256 != plain.control_sha256
    assert other_params.treatment_sha256 == plain.treatment_sha256
    assert judged_anew.control_sha256 != judged.control_sha256
    assert judged_anew.treatment_sha256 != judged.treatment_sha256


def pair(workspace, control, treatment=None):
    given = treatment or Variant(use="pocs.x.good:answer", params={"k": 2})
    return WorkspaceCode().probe(workspace, Variants(control=control, treatment=given), [])


def test_recorded_answers_are_imported_from_nowhere_and_differ_by_their_system(workspace):
    (workspace / "logged.py").write_text("raise ValueError('imported')\n")

    production = pair(workspace, Variant(use="logged"), Variant(use="logged:reader"))
    other = pair(workspace, Variant(use="logged:other"), Variant(use="logged:reader"))

    assert production.control_sha256 != production.treatment_sha256
    assert other.control_sha256 != production.control_sha256
    assert other.treatment_sha256 == production.treatment_sha256


def test_the_hash_follows_the_content_of_assets(workspace):
    (workspace / "data").mkdir()
    (workspace / "data" / "index.bin").write_bytes(b"one")
    (workspace / "data" / "copy.bin").write_bytes(b"one")
    with_asset = Variant(use="pocs.x.good:answer", assets={"index": "data/index.bin"})
    moved = Variant(use="pocs.x.good:answer", assets={"index": "data/copy.bin"})
    before = pair(workspace, with_asset)
    (workspace / "data" / "index.bin").write_bytes(b"two")

    after = pair(workspace, with_asset)

    assert after.control_sha256 != before.control_sha256
    assert after.treatment_sha256 == before.treatment_sha256
    assert pair(workspace, moved).control_sha256 == before.control_sha256
    assert pair(workspace, Variant(use="pocs.x.good:answer")).control_sha256 not in {
        before.control_sha256,
        after.control_sha256,
    }


def test_assets_that_are_missing_are_faults_beside_those_of_the_code(workspace):
    (workspace / "folder").mkdir()
    treatment = Variant(use="pocs.x.good:answer", assets={"index": "data/none.bin", "m": "folder"})

    with pytest.raises(FaultsError) as caught:
        pair(workspace, Variant(use="pocs.x.absent:answer"), treatment)

    assert [fault.field for fault in caught.value.faults] == [
        "variants.control.use",
        "variants.treatment.assets.index",
        "variants.treatment.assets.m",
    ]


def test_a_large_asset_is_hashed_without_being_held(workspace):
    with (workspace / "large.bin").open("wb") as file:
        file.truncate(150_000_000)
    tracemalloc.start()

    pair(workspace, Variant(use="logged"), Variant(use="logged:b", assets={"a": "large.bin"}))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
