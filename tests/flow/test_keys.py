from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest

from expplat.errors import InputError, KeyRefusedError, NotFoundError
from expplat.flow import keys
from tests.builders import T0

ALL_KINDS = ("client", "ingest", "admin")


def create(uow, kind="admin", name="laptop of ada"):
    return keys.create(kind, name, uow=uow, now=lambda: T0)


@pytest.mark.parametrize(
    ("kind", "prefix"), [("client", "sdk-"), ("ingest", "eik_"), ("admin", "eak_")]
)
def test_a_key_shows_its_kind_and_opens_what_is_of_its_kind(sqlite_uow_factory, kind, prefix):
    new = create(sqlite_uow_factory(), kind)

    assert re.fullmatch(re.escape(prefix) + r"[\w-]{43}", new.secret)
    assert keys.check(new.secret, [kind], sqlite_uow_factory()) == new.key
    assert new.key.prefix == new.secret[:8]


def test_secrets_are_never_alike(sqlite_uow_factory):
    secrets = {create(sqlite_uow_factory()).secret for _ in range(50)}

    assert len(secrets) == 50


def test_the_database_holds_the_hash_and_not_the_secret(sqlite_uow_factory, sqlite_url):
    new = create(sqlite_uow_factory())

    file = Path(sqlite_url.removeprefix("sqlite:///"))
    content = b"".join(part.read_bytes() for part in file.parent.glob(f"{file.name}*"))
    assert new.secret.encode() not in content
    assert hashlib.sha256(new.secret.encode()).hexdigest().encode() in content
    assert new.secret not in repr(new)


def test_a_key_of_another_kind_is_refused(sqlite_uow_factory):
    new = create(sqlite_uow_factory(), "client")

    with pytest.raises(KeyRefusedError, match="kind client"):
        keys.check(new.secret, ["admin", "ingest"], sqlite_uow_factory())


@pytest.mark.parametrize(
    "secret", ["", "eak_", "eak_" + "x" * 43, "\ud800", "\0", "é", "x" * 100_000]
)
def test_an_unknown_secret_is_refused_and_not_repeated(sqlite_uow_factory, secret):
    create(sqlite_uow_factory())

    with pytest.raises(KeyRefusedError) as refusal:
        keys.check(secret, ALL_KINDS, sqlite_uow_factory())

    assert len(secret) < 4 or secret not in refusal.value.message + refusal.value.hint


def test_a_revoked_key_is_refused_and_revoking_twice_is_no_fault(sqlite_uow_factory):
    new = create(sqlite_uow_factory())

    for day in (1, 2):
        moment = T0 + timedelta(days=day)
        keys.revoke(new.key.key_id, uow=sqlite_uow_factory(), now=lambda moment=moment: moment)

    with pytest.raises(KeyRefusedError):
        keys.check(new.secret, ALL_KINDS, sqlite_uow_factory())
    (listed,) = keys.all_keys(uow=sqlite_uow_factory())
    assert listed.revoked_at == T0 + timedelta(days=1)


def test_revoking_an_unknown_key_says_so(sqlite_uow_factory):
    with pytest.raises(NotFoundError):
        keys.revoke("nothing", uow=sqlite_uow_factory(), now=lambda: T0)


def test_an_id_tells_a_key_by_its_secret(sqlite_uow_factory):
    new = create(sqlite_uow_factory())

    assert keys.key_id_of(new.secret) == new.key.key_id
    assert len(new.key.key_id) * 4 == 96


@pytest.mark.parametrize(
    ("kind", "name"), [("root", "x"), ("", "x"), ("admin", " "), ("admin", "x" * 101)]
)
def test_a_key_without_a_kind_or_a_name_is_not_made(sqlite_uow_factory, kind, name):
    with pytest.raises(InputError):
        create(sqlite_uow_factory(), kind, name)

    assert keys.all_keys(uow=sqlite_uow_factory()) == ()
