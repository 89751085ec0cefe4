"""YAML as plain data with lines: the types of JSON, and nothing else."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.spec_file import field_name, read_document
from expplat.adapters.spec_file.document import MAX_NODES
from expplat.errors import FaultsError


def value_of(scalar: str) -> object:
    document = read_document(f"a: {scalar}\n".encode(), "x")
    assert document.faults == ()
    return document.value["a"]


def faults_in(content: bytes) -> list[tuple[int, str, str]]:
    try:
        faults = read_document(content, "x").faults
    except FaultsError as error:
        faults = error.faults
    return [(fault.line, fault.field, fault.message) for fault in faults]


def the_message(content: bytes) -> tuple[int, str]:
    ((line, _, message),) = faults_in(content)
    return line, message


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("OFF", "OFF"), ("true", True),
        ("FALSE", False),
        ("null", None), ("~", None), ("", None), ("12", 12), ("-3", -3), ("+4", 4), ("007", 7),
        ("0o17", 15), ("0x1F", 31), ("0b11", "0b11"), ("1_000", "1_000"), ("12:30:45", "12:30:45"),
        ("1e-3", 0.001), ("1E3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-1.5e+2", -150.0),
        ("2024-01-01", "2024-01-01"), ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("'12'", "12"), ('"true"', "true"), ("=", "="), ("1.2.3", "1.2.3"), ("e5", "e5"),
        ("9223372036854775807", 2**63 - 1),
    ],
)  # fmt: skip
def test_an_unquoted_word_means_what_yaml_1_2_says(scalar, value):
    read = value_of(scalar)

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("scalar", "message"),
    [
        (".nan", "not a finite number"),
        ("-.INF", "not a finite number"),
        ("1e400", "too large"),
        ("9223372036854775808", "beyond 64 bits"),
        ("0x" + "f" * 40, "beyond 64 bits"),
        ("1" * 200_000, "200,000 characters"),
        ("1." + "1" * 200_000, "200,002 characters"),
        ("!!str 5", "tag"),
        ("!!python/object/apply:os.system [id]", "tag"),
        ("!!binary aGk=", "tag"),
        ("! x", "tag"),
        ("&x 1", "anchor"),
        ("*x", "alias"),
    ],
)
def test_what_json_cannot_hold_is_a_fault_on_its_line(scalar, message):
    ((line, field, said),) = faults_in(f"b: 1\na: {scalar}\n".encode())

    assert (line, field) == (2, "a")
    assert message in said


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 0, "empty"),
        (b"# nothing\n", 0, "empty"),
        (b"- a\n", 1, "not a mapping"),
        (b"\njust words\n", 2, "not a mapping"),
        (b"a: 1\n---\nb: 2\n", 2, "second document"),
        (b"%YAML 1.1\n---\na: 1\n", 1, "directive"),
        (b"a: 1\nb: [1, 2\n", 3, "not YAML"),
        (b"a: 1\n\tb: 2\n", 2, "tab"),
        (b"a: b: c\n", 1, "not YAML"),
        (b'a: 1\nb: "\\UFFFFFFFF"\n', 2, "escape"),
        (b'a: 1\nb: "\\U00110000"\n', 2, "escape"),
        (b"%YAML 1." + b"1" * 5000 + b"\n---\na: 1\n", 1, "directive"),
        (b"\xef\xbb\xbfa: 1\n", 1, "byte order mark"),
        ("a: 1\n".encode("utf-16"), 1, "UTF-16"),
        ("a: 1\n".encode("utf-16-be"), 1, "UTF-16"),
        (b"a: 1\nb: \xff\n", 2, "0xFF is not UTF-8"),
        (b"a: 1\nb: x\x00y\n", 2, "U+0000"),
        (b"a: 1\nb: x\x1b[2J\n", 2, "U+001B"),
        (b"a: 1\r\nb: 2 # \xe2\x80\xae\r\n", 2, "U+202E"),
        (b"a: x\xc2\x85y\n", 1, "U+0085"),
        (b"a: x\ry\n", 1, "U+000D"),
        (b"#" * 1_000_001, 0, "larger than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_readable_yaml_is_one_fault_with_its_line(content, line, message):
    found, said = the_message(content)

    assert found == line
    assert message in said


def test_a_key_that_stands_twice_names_both_lines_and_the_first_counts():
    document = read_document(b"a:\n  b: 1\n  c: 2\n  b: 3\n", "x")

    assert document.value == {"a": {"b": 1, "c": 2}}
    assert [(f.line, f.field, f.message) for f in document.faults] == [
        (4, "a.b", "The key stands twice, on lines 2 and 4.")
    ]


@pytest.mark.parametrize("key", ["1", "true", "~", "1.5"])
def test_a_key_that_is_no_text_is_a_fault(key):
    line, message = the_message(f"a: 1\n{key}: 2\n".encode())

    assert (line, message) == (2, "A key is not a text.")


def test_a_list_as_a_key_is_a_fault():
    assert the_message(b"a: 1\n? [x, y]\n: 2\n") == (2, "A key is not a text.")


def test_a_merge_key_merges_nothing():
    assert read_document(b"a: {<<: {b: 1}}\n", "x").value == {"a": {"<<": {"b": 1}}}


def test_a_bomb_of_aliases_is_never_expanded():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    document = read_document("\n".join(rows).encode(), "x")

    assert len(json.dumps(document.value)) < 2_000
    assert len(document.faults) == 12 + 11 * 9


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_before_it_costs_anything(opening):
    _, message = the_message(b"a:\n  " + opening.encode() * 100_000)

    assert message == "The file is nested deeper than 50 levels."


def test_too_many_values_are_refused():
    _, message = the_message(b"a:\n" + b"- 1\n" * (MAX_NODES + 1))

    assert message == "The file has more than 20,000 values."


def test_a_number_is_kept_as_it_was_written_too():
    document = read_document(b"a: [0.10000000000000000001]\n", "x")

    assert document.numbers == {("a", 0): "0.10000000000000000001"}


def test_the_name_of_a_field_is_a_path_and_shows_no_cursor_movement():
    assert field_name(("online", "gates", 2, "margin")) == "online.gates[2].margin"
    assert field_name(("columns", "input.question")) == "columns['input.question']"
    assert field_name(("\x1b[2J",)).isprintable()


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn"]), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | texts
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


def same(left: object, right: object) -> bool:
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@given(st.dictionaries(texts, plain, max_size=5))
def test_json_is_read_as_json_reads_it(data):
    document = read_document(json.dumps(data, ensure_ascii=False).encode(), "x")

    assert document.faults == ()
    assert same(document.value, data)


class Quoting(yaml.SafeDumper):
    """Writes texts in quotes: PyYAML and YAML 1.2 disagree on which words are texts without."""


Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


@given(st.dictionaries(texts, plain, min_size=1, max_size=5))
def test_what_pyyaml_writes_in_block_style_comes_back(data):
    written = yaml.dump(data, Dumper=Quoting, allow_unicode=True, default_flow_style=False)
    document = read_document(written.encode(), "x")

    assert document.faults == ()
    assert same(document.value, data)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_document_or_in_faults(content):
    assert all(line >= 0 for line, _, _ in faults_in(content))
