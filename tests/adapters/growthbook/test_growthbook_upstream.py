"""What is believed of an upstream, over a real socket."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from expplat.adapters.growthbook.encryption import encrypt
from expplat.adapters.growthbook.upstream import GrowthBookUpstream
from expplat.errors import DependencyError
from tests.upstreams import KEY, PAYLOAD, Upstream

SEAL = base64.b64encode(bytes(range(16))).decode()


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


def client(upstream, folder, **changes):
    options = {"host": upstream.address, "client_key": KEY, "folder": folder / "upstream"}
    return GrowthBookUpstream(**options | changes)


def test_the_payload_is_read_section_by_section(upstream, tmp_path):
    flags = client(upstream, tmp_path).poll()

    assert flags.features == PAYLOAD["features"]
    assert flags.experiments == PAYLOAD["experiments"]
    assert flags.saved_groups == PAYLOAD["savedGroups"]
    assert flags.changed_at == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert upstream.requests == [(f"/api/features/{KEY}", None, 200)]


def test_an_encrypted_payload_is_read_with_its_key(upstream, tmp_path):
    sealed = {
        f"encrypted{name[0].upper()}{name[1:]}": encrypt(json.dumps(PAYLOAD[name]).encode(), SEAL)
        for name in ("features", "experiments", "savedGroups")
    }
    upstream.body = json.dumps({"status": 200, "features": {}, "experiments": []} | sealed).encode()

    flags = client(upstream, tmp_path, decryption_key=SEAL).poll()

    assert flags.features == PAYLOAD["features"]
    assert flags.experiments == PAYLOAD["experiments"]
    assert flags.saved_groups == PAYLOAD["savedGroups"]


@pytest.mark.parametrize("key", ["", base64.b64encode(b"x" * 16).decode(), "malformed"])
def test_an_encrypted_payload_without_its_key_is_useless(upstream, tmp_path, key):
    sealed = encrypt(json.dumps(PAYLOAD["features"]).encode(), SEAL)
    upstream.body = json.dumps({"features": {}, "encryptedFeatures": sealed}).encode()

    with pytest.raises(DependencyError) as raised:
        client(upstream, tmp_path, decryption_key=key).poll()

    assert "EXPPLAT_UPSTREAM_DECRYPTION_KEY" in raised.value.hint


def test_what_is_known_is_not_sent_again_and_is_the_same_object(upstream, tmp_path):
    asking = client(upstream, tmp_path)

    first, second = asking.poll(), asking.poll()

    assert first is second
    assert [status for _, _, status in upstream.requests] == [200, 304]


def test_the_same_flags_in_other_words_are_the_same_object(upstream, tmp_path):
    asking = client(upstream, tmp_path)
    first = asking.poll()
    upstream.say(dateUpdated="2026-02-02T00:00:00Z")

    assert asking.poll() is first


def test_a_change_is_later_than_what_was_before_even_if_its_date_is_not(upstream, tmp_path):
    asking = client(upstream, tmp_path)
    first = asking.poll()
    upstream.say(features={"theirs": {"defaultValue": "newer"}}, dateUpdated="2020-01-01T00:00:00Z")

    assert asking.poll().changed_at == first.changed_at + timedelta(milliseconds=1)


def test_a_date_that_is_ahead_is_not_believed(upstream, tmp_path):
    upstream.say(dateUpdated="2999-01-01T00:00:00Z")

    assert client(upstream, tmp_path).poll().changed_at <= datetime.now(UTC)


def test_the_last_copy_is_on_disk_and_only_for_its_owner(upstream, tmp_path):
    told = client(upstream, tmp_path).poll()
    upstream.stop()

    assert client(upstream, tmp_path).kept() == told
    (copy,) = (tmp_path / "upstream").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_the_copy_of_another_upstream_is_not_taken(upstream, tmp_path):
    client(upstream, tmp_path).poll()

    assert client(upstream, tmp_path, client_key="sdk-other").kept() is None


def test_a_torn_copy_is_none(upstream, tmp_path):
    client(upstream, tmp_path).poll()
    (copy,) = (tmp_path / "upstream").iterdir()
    copy.write_bytes(copy.read_bytes()[:50])

    assert client(upstream, tmp_path).kept() is None


def test_flags_that_cannot_be_kept_are_served_all_the_same(upstream, tmp_path):
    (tmp_path / "upstream").write_text("no folder")

    assert client(upstream, tmp_path).poll().features == PAYLOAD["features"]


GARBAGE = [
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b'{"features":[]}',
    b'{"features":{"a":1}}',
    b'{"features":{"a":{"rules":{}}}}',
    b'{"features":{"a":{"rules":[1]}}}',
    b'{"features":{"a":{"defaultValue":NaN}}}',
    b'{"features":{"a":{"defaultValue":1e400}}}',
    b'{"features":{},"experiments":{}}',
    b'{"features":{},"savedGroups":[]}',
    b'{"features":{"a":{"defaultValue":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}",
    b'{"features":{},"encryptedFeatures":"AAAA.AAAA"}',
]


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_refused_and_the_last_good_copy_stays(upstream, tmp_path, body):
    asking = client(upstream, tmp_path)
    good = asking.poll()
    upstream.body = body

    with pytest.raises(DependencyError):
        asking.poll()

    assert client(upstream, tmp_path).kept() == good
    upstream.body = json.dumps(PAYLOAD).encode()
    assert asking.poll() is good


@pytest.mark.parametrize("status", [204, 301, 400, 401, 404, 429, 500, 503])
def test_every_other_answer_is_useless_and_a_redirect_is_not_followed(upstream, tmp_path, status):
    upstream.status = status
    upstream.headers = {"Location": f"{upstream.address}/elsewhere"}

    with pytest.raises(DependencyError, match=str(status)):
        client(upstream, tmp_path).poll()

    assert [path for path, _, _ in upstream.requests] == [f"/api/features/{KEY}"]


def test_more_than_five_megabytes_are_not_read(upstream, tmp_path):
    upstream.body = b'{"features":{"a":{"defaultValue":"' + b"x" * 5_000_001 + b'"}}}'

    with pytest.raises(DependencyError, match="more than"):
        client(upstream, tmp_path).poll()


def test_silence_is_not_waited_for_long(upstream, tmp_path, monkeypatch):
    monkeypatch.setattr("expplat.adapters.growthbook.upstream.SILENCE_S", 0.2)
    upstream.delay_s = 3.0

    with pytest.raises(DependencyError, match="did not answer"):
        client(upstream, tmp_path).poll()


def test_an_upstream_that_is_away_says_so(upstream, tmp_path):
    upstream.stop()

    with pytest.raises(DependencyError, match="did not answer") as raised:
        client(upstream, tmp_path).poll()

    assert KEY not in raised.value.message
