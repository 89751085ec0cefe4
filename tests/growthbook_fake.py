"""A GrowthBook server with the part of its REST API that a push uses: real HTTP, its own state.

It refuses what GrowthBook refuses (fields that are not documented, a 61st call within a minute),
and forgets what GrowthBook forgets: what is left out of a phase is reset.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

from tests import growthbook_shapes as shapes

KEY = "secret_admin_for_tests"
Json = dict[str, Any]


class FakeTime:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


class RefusalError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.document = {"message": message} | more


@dataclass
class FakeGrowthBook:
    """What the server holds, and what it was asked."""

    time: FakeTime = field(default_factory=FakeTime)
    experiments: dict[str, Json] = field(default_factory=dict)
    features: dict[str, Json] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    writes: list[tuple[str, Json]] = field(default_factory=list)
    calls_a_minute: int = 60
    conflicts: int = 0
    """So many writes are refused, because somebody else wrote just before."""

    dies_after: int | None = None
    """After so many further writes it ends the connection without an answer."""

    before_write: Callable[[], None] = field(default=lambda: None)
    after_write: Callable[[], None] = field(default=lambda: None)
    refuses: RefusalError | None = None
    """What every write is answered with."""

    address: str = ""
    _begun: list[float] = field(default_factory=list)

    # what comes in

    def answer(self, method: str, path: str, key: str, body: Json | None) -> Json:
        """Return the answer to a call, or raise RefusalError."""
        self.calls.append((method, path))
        self._admit(key)
        address = urlsplit(path)
        place = address.path.removeprefix("/api")
        if method == "GET":
            return self._read(place, dict(parse_qsl(address.query)))
        if self.conflicts:
            self.conflicts -= 1
            self.before_write()
            raise RefusalError(409, "the revision is stale")
        if self.refuses:
            raise self.refuses
        self.before_write()
        answer = self._write(place, body or {})
        self.writes.append((place, body or {}))
        self.after_write()
        return answer

    def _admit(self, key: str) -> None:
        if key != f"Bearer {KEY}":
            raise RefusalError(401, "Invalid API key")
        self._begun = [at for at in self._begun if at > self.time.now_s - 60]
        if len(self._begun) >= self.calls_a_minute:
            raise RefusalError(429, "Too many requests, limit to 60 per minute")
        self._begun.append(self.time.now_s)

    def _read(self, place: str, query: dict[str, str]) -> Json:
        if place == "/v1/experiments":
            assert query.keys() == {"trackingKey"}
            found = [
                e for e in self.experiments.values() if e["trackingKey"] == query["trackingKey"]
            ]
            return {"experiments": found, "limit": 10, "offset": 0, "count": len(found)}
        if match := re.fullmatch(r"/v1/experiments/([^/]+)", place):
            return {"experiment": self._experiment(match[1])}
        if match := re.fullmatch(r"/v2/features/([^/]+)", place):
            return {"feature": self._feature(match[1])}
        raise RefusalError(404, "Unknown API endpoint")

    def _write(self, place: str, body: Json) -> Json:
        for pattern, shape, work in (
            (r"/v1/experiments", shapes.POST_EXPERIMENT, self._add_experiment),
            (r"/v1/experiments/([^/]+)", shapes.CHANGE_EXPERIMENT, self._change_experiment),
            (r"/v1/experiments/([^/]+)/start", shapes.START, self._start),
            (r"/v1/experiments/([^/]+)/stop", shapes.STOP, self._stop),
            (r"/v2/features", shapes.POST_FEATURE, self._add_feature),
            (r"/v2/features/([^/]+)", shapes.CHANGE_FEATURE, self._change_feature),
            (r"/v2/features/([^/]+)/toggle", shapes.TOGGLE, self._toggle),
        ):
            if match := re.fullmatch(pattern, place):
                _must_be_valid(body, shape)
                return work(*match.groups(), body)
        raise RefusalError(404, "Unknown API endpoint")

    # what it does

    def _experiment(self, id_: str) -> Json:
        if id_ not in self.experiments:
            raise RefusalError(404, "Could not find experiment with that id")
        return self.experiments[id_]

    def _feature(self, id_: str) -> Json:
        if id_ not in self.features:
            # As GrowthBook does, which says 400.
            raise RefusalError(400, "Could not find a feature with that key")
        return self.features[id_]

    def _add_experiment(self, body: Json) -> Json:
        if any(e["trackingKey"] == body["trackingKey"] for e in self.experiments.values()):
            raise RefusalError(400, f"Duplicate tracking key {body['trackingKey']}")
        id_ = f"exp_{len(self.experiments)}x"
        arms = [
            {"variationId": arm.get("id", f"var_{place}"), "key": arm["key"], "name": arm["name"],
             "description": "", "screenshots": []}
            for place, arm in enumerate(body["variations"])
        ]  # fmt: skip
        self.experiments[id_] = {
            "id": id_,
            "trackingKey": body["trackingKey"],
            "name": body["name"],
            "archived": False,
            "owner": body.get("owner", ""),
            "tags": body.get("tags", []),
            "status": body.get("status", "draft"),
            "hashAttribute": body.get("hashAttribute", "id"),
            "hashVersion": body.get("hashVersion", 2),
            "disableStickyBucketing": body.get("disableStickyBucketing", False),
            "variations": arms,
            "phases": [],
            "settings": {"experimentId": body["trackingKey"]},
        }
        self._set_phases(self.experiments[id_], body.get("phases", []))
        return {"experiment": self.experiments[id_]}

    def _change_experiment(self, id_: str, body: Json) -> Json:
        experiment = self._experiment(id_)
        for name in ("name", "tags", "hashAttribute", "hashVersion", "disableStickyBucketing"):
            experiment[name] = body.get(name, experiment[name])
        if "phases" in body:
            self._set_phases(experiment, body["phases"])
        return {"experiment": experiment}

    def _set_phases(self, experiment: Json, phases: list[Json]) -> None:
        arms = experiment["variations"]
        experiment["phases"] = [
            {
                "name": phase["name"],
                "dateStarted": phase["dateStarted"],
                "dateEnded": "",
                "reasonForStopping": "",
                "seed": phase.get("seed") or experiment["trackingKey"],
                "coverage": phase.get("coverage", 1),
                "trafficSplit": [
                    {"variationId": arm["variationId"], "weight": weight}
                    for arm, weight in zip(
                        arms,
                        phase.get("variationWeights") or [1 / len(arms)] * len(arms),
                        strict=True,
                    )
                ],
                "targetingCondition": phase.get("condition") or "{}",
                "prerequisites": phase.get("prerequisites") or [],
                "savedGroupTargeting": phase.get("savedGroupTargeting") or [],
            }
            for phase in phases
        ]

    def _start(self, id_: str, body: Json) -> Json:
        experiment = self._experiment(id_)
        if experiment["status"] != "draft":
            raise RefusalError(400, "Only drafts can be started")
        experiment["status"] = "running"
        return {"experiment": experiment}

    def _stop(self, id_: str, body: Json) -> Json:
        experiment = self._experiment(id_)
        if experiment["status"] == "draft":
            raise RefusalError(400, "A draft cannot be stopped")
        experiment["status"] = "stopped"
        experiment["resultSummary"] = {
            "status": body.get("results", "dnf"),
            "winner": body.get("winnerVariationId", ""),
            "conclusions": "",
            "releasedVariationId": body.get("releasedVariationId", ""),
            "excludeFromPayload": not body.get("enableTemporaryRollout", False),
        }
        return {"experiment": experiment}

    def _add_feature(self, body: Json) -> Json:
        if body["id"] in self.features:
            raise RefusalError(400, f"Feature id '{body['id']}' already exists.")
        self.features[body["id"]] = {
            "id": body["id"],
            "archived": False,
            "owner": body.get("owner", ""),
            "tags": body.get("tags", []),
            "valueType": body["valueType"],
            "defaultValue": body["defaultValue"],
            "rules": [_as_answered(rule) for rule in body.get("rules", [])],
            "environments": {
                name: {"enabled": on.get("enabled", False), "defaultValue": body["defaultValue"]}
                for name, on in body.get("environments", {}).items()
            },
        }
        return {"feature": self.features[body["id"]]}

    def _change_feature(self, id_: str, body: Json) -> Json:
        feature = self._feature(id_)
        feature["defaultValue"] = body.get("defaultValue", feature["defaultValue"])
        if "rules" in body:
            feature["rules"] = [_as_answered(rule) for rule in body["rules"]]
        return {"feature": feature}

    def _toggle(self, id_: str, body: Json) -> Json:
        feature = self._feature(id_)
        for name, is_on in body["environments"].items():
            feature["environments"].setdefault(name, {})["enabled"] = is_on
        return {"feature": feature}

    # what SDKs are served of it

    def payload(self, environment: str = "production") -> Json:
        """Return the features as SDKs get them: ranges are left to the SDK."""
        return {
            id_: {
                "defaultValue": feature["defaultValue"],
                "rules": [
                    served
                    for rule in feature["rules"]
                    if rule.get("enabled", True)
                    and (rule["allEnvironments"] or environment in rule["environments"])
                    and (served := self._served(rule))
                ],
            }
            for id_, feature in self.features.items()
            if feature["environments"].get(environment, {}).get("enabled")
        }

    def _served(self, rule: Json) -> Json | None:
        if rule["type"] != "experiment-ref":
            return {"force": rule["value"]} | _condition(rule["condition"])
        experiment = self.experiments[rule["experimentId"]]
        phase = experiment["phases"][-1]
        values = {arm["variationId"]: arm["value"] for arm in rule["variations"]}
        if experiment["status"] == "stopped":
            summary = experiment["resultSummary"]
            released = summary["releasedVariationId"]
            if summary["excludeFromPayload"] or not released:
                return None
            return {"force": values[released]} | _condition(phase["targetingCondition"])
        if experiment["status"] != "running":
            return None
        return {
            "key": experiment["trackingKey"],
            "seed": phase["seed"],
            "hashAttribute": experiment["hashAttribute"],
            "hashVersion": experiment["hashVersion"],
            "coverage": phase["coverage"],
            "weights": [split["weight"] for split in phase["trafficSplit"]],
            "variations": [values[arm["variationId"]] for arm in experiment["variations"]],
            "meta": [{"key": arm["key"]} for arm in experiment["variations"]],
            "parentConditions": [
                {"id": parent["id"], "condition": json.loads(parent["condition"])}
                for parent in phase["prerequisites"]
            ],
        } | _condition(phase["targetingCondition"])


def _condition(text: str) -> Json:
    condition = json.loads(text or "{}")
    return {"condition": condition} if condition else {}


def _as_answered(rule: Json) -> Json:
    """Return a rule as it is answered: with every field, some of which were never sent."""
    scope = {"allEnvironments": rule.get("allEnvironments", True), "environments": []}
    return {"condition": "", "savedGroupTargeting": [], "prerequisites": []} | scope | rule


def _must_be_valid(body: Json, shape: Json) -> None:
    faults = sorted(Draft202012Validator(shape).iter_errors(body), key=lambda f: list(f.path))
    if faults:
        where = ".".join(str(part) for part in faults[0].absolute_path) or "body"
        raise RefusalError(422, f"Request body: [{where}] {faults[0].message[:200]}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one write, which no delayed acknowledgement holds up
    fake: FakeGrowthBook

    def do_GET(self) -> None:
        self._respond("GET", None)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", "0")))
        self._respond("POST", json.loads(content))

    def _respond(self, method: str, body: Json | None) -> None:
        headers = {}
        try:
            key = self.headers.get("authorization", "")
            status, document = 200, self.fake.answer(method, self.path, key, body)
        except RefusalError as refusal:
            status, document = refusal.status, refusal.document
            if status == 429:
                headers["Retry-After"] = "30"
        if method == "POST" and self.fake.dies_after is not None and status == 200:
            self.fake.dies_after -= 1
            if self.fake.dies_after < 0:
                self.fake.dies_after = None
                self.close_connection = True
                return
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: Any) -> None:
        """Keep quiet."""


@contextmanager
def a_growthbook() -> Iterator[FakeGrowthBook]:
    """Run a server in a thread of this process."""
    fake = FakeGrowthBook()
    handler = type("Handler", (_Handler,), {"fake": fake})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        fake.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield fake
        server.shutdown()
        thread.join()
