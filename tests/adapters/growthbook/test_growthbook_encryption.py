"""Sections of a payload, encrypted as the official SDK decrypts them."""

from __future__ import annotations

import base64

import growthbook
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.growthbook.encryption import decrypt, encrypt

KEY = base64.b64encode(bytes(range(16))).decode()
OTHER = base64.b64encode(bytes(range(1, 17))).decode()


@given(st.text(max_size=100))
def test_the_official_sdk_reads_what_was_encrypted(text):
    sealed = encrypt(text.encode(), KEY)

    assert growthbook.decrypt(sealed, KEY) == text
    assert decrypt(sealed, KEY) == text.encode()


def test_the_same_text_is_the_same_bytes_and_another_has_another_vector():
    first, again, other = (encrypt(text, KEY) for text in (b"one", b"one", b"two"))

    assert first == again
    assert first.split(".")[0] != other.split(".")[0]


def test_another_key_gives_another_vector_for_the_same_text():
    assert encrypt(b"one", KEY).split(".")[0] != encrypt(b"one", OTHER).split(".")[0]


def test_what_is_encrypted_does_not_show():
    sealed = encrypt(b'{"hybrid_rrf":{"defaultValue":"control"}}', KEY)

    assert b"hybrid" not in b"".join(base64.b64decode(part) for part in sealed.split("."))


@pytest.mark.parametrize(
    "text", ["", ".", "no dot", "AAAA.AAAA", "ä.ö", "AAAAAAAAAAAAAAAAAAAAAA==.", "?.?"]
)
def test_what_is_malformed_is_a_value_error(text):
    with pytest.raises(ValueError, match=r".+"):
        decrypt(text, KEY)


@pytest.mark.parametrize("key", ["", "AAAA", "no base64!"])
def test_a_malformed_key_is_a_value_error(key):
    with pytest.raises(ValueError, match=r".+"):
        decrypt(encrypt(b"one", KEY), key)
