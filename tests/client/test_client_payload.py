from __future__ import annotations

import json
import os
import random
import stat
import time

import pytest

from expplat.client._cache import FlagCache
from expplat.client._guard import Complaints
from expplat.client._payload import PayloadError, must_follow, read_payload
from tests.client.faults import (
    ALL_CONTROL,
    BODIES,
    GOOD,
    NEWER,
    OLDER,
    PAYLOAD_KEY,
    a_payload,
    encoded,
    encrypted,
    rule_of,
)


def with_rule(**changes):
    feature = rule_of("hybrid_rrf", 50.0)
    feature["rules"][0] |= changes
    return encoded(a_payload(features={"hybrid_rrf": feature}))


def without(name):
    payload = a_payload()
    del payload[name]
    return encoded(payload)


BROKEN = {
    **{name: body for name, body in BODIES.items() if name != "older"},
    "nothing": b"",
    "html": b"<!doctype html><title>Sign in</title>",
    "not utf-8": b"\xff\xfe{}",
    "an array": b"[]",
    "null": b"null",
    "a megabyte of brackets": b"[" * 1_000_000,
    "a megabyte of objects": b'{"a":' * 200_000,
    "deep and closed": b'{"features":' + b"[" * 900 + b"]" * 900 + b"}",
    "endless digits": b'{"status":' + b"9" * 5_000 + b"}",
    "NaN": GOOD.replace(b'"status":200', b'"status":NaN'),
    "another status": encoded(a_payload(status=500)),
    "features of a list": encoded(a_payload() | {"features": [1]}),
    "no features": encoded(a_payload() | {"features": {}}),
    "no marker": encoded(a_payload() | {"features": {"hybrid_rrf": {"defaultValue": "control"}}}),
    "marker off": encoded(a_payload(features={"expplat": {"defaultValue": False}})),
    "a feature that is no object": encoded(a_payload(features={"x": 5})),
    "rules that are no list": encoded(a_payload(features={"x": {"rules": {}}})),
    "a rule that is no object": encoded(a_payload(features={"x": {"rules": [5]}})),
    "no time": without("dateUpdated"),
    "a time without a zone": encoded(a_payload("2026-03-02T00:00:00")),
    "a time of another kind": encoded(a_payload() | {"dateUpdated": 5}),
    "groups of a list": encoded(a_payload(savedGroups=[1])),
    "coverage over one": with_rule(coverage=1.5),
    "coverage of text": with_rule(coverage="1"),
    "coverage of a boolean": with_rule(coverage=True),
    "one variation": with_rule(variations=["control"]),
    "ranges of another length": with_rule(ranges=[[0, 1]]),
    "a range of three": with_rule(ranges=[[0, 0.5, 0.6], [0.6, 1]]),
    "weights of another length": with_rule(weights=[1.0]),
    "weights over one": with_rule(weights=[1.0, 1.0]),
    "meta of another length": with_rule(meta=[{"key": "control"}]),
    "hash version 3": with_rule(hashVersion=3),
    "hash attribute of nothing": with_rule(hashAttribute=None),
    "condition of text": with_rule(condition="everybody"),
    "filters of text": with_rule(filters=["everybody"]),
    "parents of text": with_rule(parentConditions=["everybody"]),
    "no key": with_rule(key=""),
    "encrypted, without a key": encoded(encrypted(a_payload())),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_no_server_of_ours_sends_is_not_believed(name):
    started = time.perf_counter()

    with pytest.raises(PayloadError):
        read_payload(BROKEN[name])

    assert time.perf_counter() - started < 1.0


def test_the_good_payload_is_believed():
    payload = read_payload(GOOD, etag='"e"')

    assert {*payload.features} == {"expplat", "hybrid_rrf", "reranker"}
    assert payload.left_out == frozenset()
    assert payload.etag == '"e"'


def test_an_encrypted_payload_is_read_with_its_key_alone():
    body = encoded(encrypted(a_payload()))

    assert "hybrid_rrf" in read_payload(body, decryption_key=PAYLOAD_KEY).features
    for wrong in ("AAAAAAAAAAAAAAAAAAAAAA==", "short", "!", "AA=="):
        with pytest.raises(PayloadError):
            read_payload(body, decryption_key=wrong)


@pytest.mark.parametrize(
    "changes",
    [
        {"condition": {"email": {"$regex": "^(a+)+$"}}},
        {"condition": {"$or": [{"email": {"$not": {"$regexi": "x"}}}]}},
        {"aKeyOfTheFuture": 1},
        {"variations": ["control", None]},
    ],
)
def test_a_flag_that_cannot_be_judged_is_left_out_and_the_others_serve(changes):
    feature = rule_of("hybrid_rrf", 50.0)
    feature["rules"][0] |= changes

    payload = read_payload(encoded(a_payload(features={"x": feature, "y": {"defaultValue": "a"}})))

    assert payload.left_out == {"x"}
    assert {*payload.features} == {"expplat", "y"}


def test_a_flag_with_a_key_of_the_future_is_left_out_and_the_others_serve():
    flags = {"x": {"defaultValue": "a", "valueType": "string"}, "y": {"defaultValue": "a"}}

    assert read_payload(encoded(a_payload(features=flags))).left_out == {"x"}


def test_only_a_newer_payload_of_the_same_environment_follows():
    present = read_payload(GOOD)
    must_follow(read_payload(encoded(a_payload("2026-03-03T00:00:00Z", ALL_CONTROL))), present)
    must_follow(present, present)
    must_follow(present, read_payload(encoded(a_payload(OLDER, {}))))

    with pytest.raises(PayloadError, match="older"):
        must_follow(read_payload(BODIES["older"]), present)
    elsewhere = read_payload(encoded(a_payload(NEWER, {"other": {"defaultValue": "a"}})))
    with pytest.raises(PayloadError, match="environment"):
        must_follow(elsewhere, present)


@pytest.fixture
def cache(tmp_path):
    return FlagCache(tmp_path / "state", "identity", Complaints())


@pytest.fixture
def file(cache, tmp_path):
    cache.write(read_payload(GOOD, etag='"e"'))
    return tmp_path / "state" / "flags-identity.json"


def test_what_is_written_is_read(cache, file):
    assert cache.read("") == read_payload(GOOD, etag='"e"')
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [*file.parent.iterdir()] == [file]


def test_a_damaged_file_is_never_believed(cache, file, caplog):
    dice = random.Random(200)
    sound = file.read_bytes()
    for number in range(200):
        damaged = bytearray(sound)
        if number % 2:
            damaged[dice.randrange(len(sound))] ^= 1 << dice.randrange(8)
        else:
            del damaged[dice.randrange(len(sound)) :]
        file.write_bytes(damaged)

        assert cache.read("") is None, number

    assert "ignored" in caplog.text


def test_a_file_that_others_could_have_written_is_not_believed(cache, file, tmp_path):
    good = file.read_bytes()
    for mode in (0o660, 0o606, 0o666):
        file.chmod(mode)
        assert cache.read("") is None
    file.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(good)
    elsewhere.chmod(0o600)
    file.symlink_to(elsewhere)
    assert cache.read("") is None
    file.unlink()
    os.mkfifo(file, 0o600)
    assert cache.read("") is None
    file.unlink()
    file.mkdir()
    assert cache.read("") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_believed(cache, file):
    os.chown(file, 12345, 12345)

    assert cache.read("") is None


def test_a_file_of_another_server_is_not_believed(cache, file):
    other = FlagCache(file.parent, "other", Complaints())
    file.rename(file.with_name("flags-other.json"))

    assert other.read("") is None


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = FlagCache(tmp_path / "file", "identity", Complaints())

    cache.write(read_payload(GOOD))

    assert cache.read("") is None
    assert "could not be written" in caplog.text


def test_the_good_payload_is_json_of_one_line():
    assert b"\n" not in GOOD
    assert json.loads(GOOD)["status"] == 200
