from __future__ import annotations

import logging

import pytest

from expplat.api.access import HideKeys
from expplat.api.app import allowed_hosts

READING = ("/", "/pocs/hybrid_rrf", "/v1/pocs", "/v1/pocs/hybrid_rrf")


@pytest.fixture
def server(shared_server):
    return shared_server


@pytest.fixture
def walk(shared_walk):
    return shared_walk


@pytest.fixture(scope="module")
def admin(shared_walk):
    return shared_walk.key("admin")


@pytest.mark.parametrize("path", READING)
def test_without_a_key_nothing_is_shown(server, admin, path):
    answer = server.get(path)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Basic" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize("kind", ["client", "ingest"])
def test_only_admin_keys_show_anything(server, walk, admin, path, kind):
    answer = server.get(path, headers={"Authorization": f"Bearer {walk.key(kind)}"})

    assert answer.status_code == 403


@pytest.mark.parametrize("path", READING)
def test_an_admin_key_in_the_header_is_enough(server, admin, path):
    for authorization in ({"headers": {"Authorization": f"Bearer {admin}"}}, {"auth": ("", admin)}):
        answer = server.get(path, **authorization)

        assert answer.status_code == 200
        assert "hybrid_rrf" in answer.text


def test_a_key_in_the_address_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(
    server, admin
):
    answer = server.get("/", params={"key": admin})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert server.get("/").status_code == 200


@pytest.mark.parametrize("key", ["", "eak_wrong", "\ud7ff", "x" * 5000])
def test_a_wrong_key_in_the_address_sets_no_cookie(server, admin, key):
    answer = server.get("/", params={"key": key})

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/pocs/hybrid_rrf"])
def test_pages_run_no_script_and_sit_in_no_frame(server, admin, path):
    answer = server.get(path, headers={"Authorization": f"Bearer {admin}"})

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "<script" not in answer.text


def test_the_style_needs_no_key(server):
    answer = server.get("/static/expplat.css")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.evil", "", "a:b:c"],
)
@pytest.mark.parametrize("path", ["/", "/health", "/api/features/sdk-x", "/openapi.json"])
def test_another_host_name_is_refused(server, host, path):
    answer = server.get(path, headers={"Host": host})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "localhost:1234", "[::1]:8787", "LOCALHOST"]
)
def test_loopback_names_are_answered(server, host):
    assert server.get("/health", headers={"Host": host}).status_code == 200


def test_the_configured_host_is_answered_and_any_address_is_no_name():
    assert "flags.corp.example" in allowed_hosts("flags.corp.example")
    assert allowed_hosts("0.0.0.0") == allowed_hosts("127.0.0.1")


@pytest.mark.parametrize("slug", ["..%2f..%2fetc", "%00", "Hybrid", "a" * 300, "%F0%9F%92%A9"])
@pytest.mark.parametrize("path", ["/pocs/", "/v1/pocs/"])
def test_a_slug_that_cannot_be_one_is_the_askers_fault(server, admin, path, slug):
    answer = server.get(path + slug, headers={"Authorization": f"Bearer {admin}"})

    assert answer.status_code in (400, 404)


def test_an_unknown_poc_is_not_found(server, admin):
    answer = server.get("/v1/pocs/nothing", headers={"Authorization": f"Bearer {admin}"})

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert answer.json()["title"] == "Not Found"


def test_the_stories_come_as_json(server, admin):
    headers = {"Authorization": f"Bearer {admin}"}

    (listed,) = server.get("/v1/pocs", headers=headers).json()["pocs"]

    assert listed == server.get("/v1/pocs/hybrid_rrf", headers=headers).json()
    assert listed["poc"]["history"][-1]["stage"] == "promoted"


def test_the_interface_is_described_and_no_page_of_others_is_served(server):
    paths = server.get("/openapi.json").json()["paths"]

    assert {"/api/features/{client_key}", "/sub/{client_key}", "/v1/exposures"} <= paths.keys()
    assert server.get("/docs").status_code == 404
    assert server.get("/redoc").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_not_allowed(server, method):
    assert server.request(method, "/v1/outcomes").status_code == 405


def test_secrets_do_not_reach_the_access_log():
    record = logging.LogRecord(
        "uvicorn.access", 20, "", 0, '%s - "%s"', ("ip", "/?key=eak_a-B_9"), None
    )

    HideKeys().filter(record)

    assert record.getMessage() == 'ip - "/?key=eak_…"'
