"""Files made to hurt: each ends in faults or in a proposal, soon, and nothing is run."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.spec_file import SpecFile
from expplat.domain.proposal import Proposal
from expplat.errors import FaultsError

WHOLE = (Path(__file__).parent / "assets" / "short_answers.yaml").read_bytes()
LINES = WHOLE.splitlines(keepends=True)
FILES = 1_050
SLOWEST_S = 1.0 if sys.gettrace() is None else 20.0
"""CPU seconds of one file; a coverage tracer makes a parser in Python many times slower."""

SPITEFUL = [
    b"!!python/object/apply:os.system ['touch CANARY']",
    b"!!python/object/new:type {args: [x, !!python/tuple [], {}]}",
    b"!!python/name:os.system", b"!!python/module:os", b"!!timestamp 2024-01-01", b"!!binary aGk=",
    b"!<tag:yaml.org,2002:python/object/apply:eval> ['1']", b"*a", b"&a x", b"&a [*a, *a]",
    b"9" * 5_000, b"-" + b"9" * 200, b"0x" + b"f" * 3_000, b"1e999999", b".nan", b"-.inf",
    b"0o7777777777777777777777777", b"\x00", b"\x1b[2J", b"\xe2\x80\xae", b"\xef\xbb\xbf",
    b"\xff\xfe", b"1e400",
    b"\xc0\xaf", b"\xed\xa0\x80", b'"\\ud800"', b'"\\0\\e\\x07"', b'"\\UFFFFFFFF"', b"[" * 3_000,
    b"{a: " * 3_000, b"- " * 3_000, b"? " * 500, b"\t", b"| \n", b">99\n", b"%YAML 1.1", b"---",
    b"...", b"\xf0\x9f\x98\x80",
    b"'", b'"', b"{}", b"[]", b"~", b"", b"true", b"<<: *x", b"{<<: {slug: x}}", b"=", b"@", b"`",
    b"x" * 100_000, b"[" + b"a," * 5_000 + b"]", b"{? [a, b] : c}", b"1: 2", b"!!set {a, b}",
    b"{{x}}",
    b"${jndi:x}", b"../../etc/passwd", b"a" * 2_000 + b": b", b"\r", b"#", b": : :",
]  # fmt: skip

Mutation = Callable[[random.Random, list[bytes]], bytes]


def value_replaced(chance: random.Random, lines: list[bytes]) -> bytes:
    position = chance.randrange(len(lines))
    key, colon, _ = lines[position].partition(b":")
    lines[position] = key + (colon or b":") + b" " + chance.choice(SPITEFUL) + b"\n"
    return b"".join(lines)


def entry_replaced(chance: random.Random, lines: list[bytes]) -> bytes:
    position = chance.randrange(len(lines))
    indent = lines[position][: len(lines[position]) - len(lines[position].lstrip())]
    lines[position] = indent + b"- " + chance.choice(SPITEFUL) + b"\n"
    return b"".join(lines)


def line_doubled(chance: random.Random, lines: list[bytes]) -> bytes:
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return b"".join(lines)


def line_lost(chance: random.Random, lines: list[bytes]) -> bytes:
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def spite_put_in(chance: random.Random, lines: list[bytes]) -> bytes:
    content = b"".join(lines)
    place = chance.randrange(len(content))
    return content[:place] + chance.choice(SPITEFUL) + content[place:]


def cut_off(chance: random.Random, lines: list[bytes]) -> bytes:
    content = b"".join(lines)
    return content[: chance.randrange(len(content))]


def bits_flipped(chance: random.Random, lines: list[bytes]) -> bytes:
    content = bytearray(b"".join(lines))
    for _ in range(chance.randrange(1, 5)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def bomb_appended(chance: random.Random, lines: list[bytes]) -> bytes:
    rows = [b"b0: &b0 [x, x, x, x, x, x, x, x, x]\n"]
    for n in range(1, chance.randrange(2, 30)):
        rows += [b"b%d: &b%d [%s]\n" % (n, n, b", ".join([b"*b%d" % (n - 1)] * 9))]
    return b"".join([*lines, *rows])


def reencoded(chance: random.Random, lines: list[bytes]) -> bytes:
    encoding = chance.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
    return b"".join(lines).decode(errors="replace").encode(encoding)


def flooded(chance: random.Random, lines: list[bytes]) -> bytes:
    flood = [b"metrics:", b"waivers:", b"offline_gates:"][chance.randrange(3)] + b"\n"
    entry = chance.choice([b"- recal_at_5\n", b"- {a: 1}\n", b"- {kind: superiority, metric: x}\n"])
    return b"".join([line for line in lines if line != flood]) + flood + entry * 3_500


MUTATIONS: list[Mutation] = [
    value_replaced, entry_replaced, line_doubled, line_lost, spite_put_in, cut_off, bits_flipped,
    bomb_appended, reencoded,
]  # fmt: skip


def hostile(seed: int) -> bytes:
    chance = random.Random(seed)
    content = WHOLE
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        content = chance.choice(MUTATIONS)(chance, content.splitlines(keepends=True) or [b"\n"])
    return content or b"\n"


def outcome(content: bytes) -> Proposal | FaultsError:
    start = time.process_time()
    result = proposal_or_faults(content)
    assert time.process_time() - start < SLOWEST_S
    if isinstance(result, FaultsError):
        said = [fault.field + fault.message + fault.hint for fault in result.faults]
        assert said
        assert "".join(said).isprintable()
        assert max(fault.line for fault in result.faults) <= content.count(b"\n") + 1
    return result


def proposal_or_faults(content: bytes) -> Proposal | FaultsError:
    try:
        return SpecFile().read(content, "short_answers.yaml")
    except FaultsError as error:
        return error


def test_a_file_made_to_hurt_ends_in_faults_or_in_a_proposal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = [outcome(hostile(seed)) for seed in range(FILES)]

    assert list(tmp_path.iterdir()) == []
    assert sum(isinstance(result, FaultsError) for result in results) > FILES / 2
    assert any(isinstance(result, Proposal) for result in results)


@pytest.mark.parametrize("spite", SPITEFUL)
def test_a_spiteful_value_of_every_field_is_survived(spite):
    chance = random.Random(spite)
    for position in chance.sample(range(len(LINES)), 12):
        key, colon, _ = LINES[position].partition(b":")
        outcome(
            b"".join([*LINES[:position], key, colon, b" ", spite, b"\n", *LINES[position + 1 :]])
        )


@pytest.mark.parametrize("seed", range(12))
def test_a_flood_of_entries_is_answered_within_the_time(seed):
    assert isinstance(outcome(flooded(random.Random(seed), list(LINES))), FaultsError)


def test_a_flood_of_unknown_fields_is_answered_within_the_time():
    flood = b"".join(b"slug_%d: 1\n" % number for number in range(9_000))

    assert isinstance(outcome(WHOLE + flood), FaultsError)


@given(st.binary(max_size=300), st.integers(0, len(WHOLE)))
def test_any_bytes_anywhere_are_survived(junk, place):
    outcome(WHOLE[:place] + junk + WHOLE[place:])
