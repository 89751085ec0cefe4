"""Pushes flags to a GrowthBook server, for teams whose services already ask one.

What is there is read before anything is written, only what differs is written, and it is read
again after. So a second push writes nothing, and one that was cut off is completed by the next.
GrowthBook knows no condition on a write: a rule that somebody adds to a feature of ours in the
moment between our reading and our writing is lost, unless the server notices and answers 409.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from expplat.adapters.growthbook.found import (
    Found,
    FoundReader,
    is_ended,
    is_reference,
    rules_of,
    tracking_key_of,
    variation_id,
)
from expplat.adapters.growthbook.rest import GrowthBookRest
from expplat.adapters.growthbook.wanted import (
    MARK,
    Json,
    WantedFlag,
    WantedTest,
    experiment_body,
    experiment_change,
    experiment_faults,
    prerequisites,
    rule_essence,
    wanted_flag,
)
from expplat.errors import ConflictError, DriftError, InputError
from expplat.flow.flags import FlagState
from expplat.flow.ports import Clock
from expplat.flow.push import Pushed

MAX_TRIES = 3
"""Readings of a flag, where others keep writing to it."""


@dataclass(slots=True, kw_only=True)
class _Writing:
    """What is written, or would be."""

    rest: GrowthBookRest
    is_dry_run: bool
    sentences: list[str] = field(default_factory=list)

    def post(self, sentence: str, path: str, body: Json) -> Json:
        """Write; in a dry run, answer with nothing."""
        self.sentences.append(sentence)
        return {} if self.is_dry_run else self.rest.post(path, body)


class GrowthBookServer:
    """One environment of one GrowthBook server."""

    def __init__(self, rest: GrowthBookRest, *, environment: str, now: Clock) -> None:
        self._rest = rest
        self._reader = FoundReader(rest)
        self._environment = environment
        self._now = now

    def push(self, state: FlagState, *, is_dry_run: bool = False) -> Pushed:
        """Bring a flag on the server to what it serves here.

        Raises:
            InputError: If the flag cannot be pushed, or is not ours on the server.
            DriftError: If the server holds something else than was written.
            ConfigurationError: If the key may not do this.
            FlagServerError: If the server does not answer.
        """
        wanted = wanted_flag(state)
        for _ in range(MAX_TRIES - 1):
            try:
                return self._push(wanted, is_dry_run)
            except ConflictError:
                continue
        return self._push(wanted, is_dry_run)

    def _push(self, wanted: WantedFlag, is_dry_run: bool) -> Pushed:
        found = self._reader.read(wanted)
        pushed = Pushed(slug=wanted.slug, sentence=wanted.sentence, is_dry_run=is_dry_run)
        if not self._faults(wanted, found):
            return pushed
        writing = _Writing(rest=self._rest, is_dry_run=is_dry_run)
        if not wanted.is_on:
            self._toggle(wanted, found, writing, is_on=False)
        elif wanted.test is not None:
            self._run(wanted, wanted.test, found, writing)
        else:
            self._end(wanted, found, writing)
        if not is_dry_run:
            self._read_back(wanted)
        return replace(pushed, writes=tuple(writing.sentences))

    def _read_back(self, wanted: WantedFlag) -> None:
        faults = self._faults(wanted, self._reader.read(wanted))
        if faults:
            raise DriftError(
                f"The GrowthBook server does not serve {wanted.slug} as it was told: "
                f"{'; '.join(faults)}.",
                hint="Somebody may be changing it there; push again, and look at it there if that "
                "does not help.",
            )

    # comparing

    def _faults(self, wanted: WantedFlag, found: Found) -> list[str]:
        """Return in what the server differs from what is wanted; empty where it does not."""
        if not wanted.is_on:
            return ["it is on"] if found.feature and self._is_on(found.feature) else []
        faults = [
            f"{tracking_key_of(e)} still runs" for e in found.older if e["status"] == "running"
        ]
        if wanted.test is not None:
            faults += _test_faults(wanted.test, found.experiment)
        elif found.experiment and not is_ended(found.experiment, wanted):
            faults.append(f"{wanted.tracking_key} is {found.experiment['status']}")
        return faults + self._feature_faults(wanted, found)

    def _feature_faults(self, wanted: WantedFlag, found: Found) -> list[str]:
        if found.feature is None:
            return ["there is no feature"]
        rules = self._merged_rules(wanted, found)
        faults = []
        if found.feature["defaultValue"] != wanted.default:
            faults.append(f"the default is {found.feature['defaultValue']!r}")
        if rules != found.feature["rules"]:
            faults.append("its rules differ")
        if not self._is_on(found.feature):
            faults.append(f"it is off in {self._environment}")
        return faults

    def _is_on(self, feature: Json) -> bool:
        return bool(feature["environments"].get(self._environment, {}).get("enabled"))

    # writing

    def _run(self, wanted: WantedFlag, test: WantedTest, found: Found, writing: _Writing) -> None:
        """The experiment first, then the feature that refers to it; users come in last."""
        experiment = self._write_experiment(test, found.experiment, writing)
        found = replace(found, experiment=experiment)
        self._write_feature(wanted, found, writing)
        if experiment["status"] == "draft":
            path = f"/v1/experiments/{experiment['id']}/start"
            writing.post(f"start {test.tracking_key}", path, {"skipChecklist": True})
        self._toggle(wanted, found, writing, is_on=True)
        self._stop_older(found, writing)

    def _end(self, wanted: WantedFlag, found: Found, writing: _Writing) -> None:
        """Where the treatment won, it is released first; else its rule is taken away first."""
        if wanted.released:
            self._stop(wanted, found, writing)
        self._write_feature(wanted, found, writing)
        if not wanted.released:
            self._stop(wanted, found, writing)
        self._toggle(wanted, found, writing, is_on=True)
        self._stop_older(found, writing)

    def _write_experiment(self, test: WantedTest, there: Json | None, writing: _Writing) -> Json:
        now = self._now().isoformat(timespec="milliseconds")
        if there is None:
            body = experiment_body(test, now)
            answer = writing.post(f"create {test.tracking_key}", "/v1/experiments", body)
            return answer.get("experiment") or _imagined(test)
        _must_be_runnable(test, there)
        faults = experiment_faults(test, there)
        if faults:
            begun = there["phases"][0]["dateStarted"] if there["phases"] else now
            body = experiment_change(test, begun)
            sentence = f"change {test.tracking_key}: {'; '.join(faults)}"
            writing.post(sentence, f"/v1/experiments/{there['id']}", body)
        return there

    def _write_feature(self, wanted: WantedFlag, found: Found, writing: _Writing) -> None:
        rules = self._merged_rules(wanted, found)
        if found.feature is None:
            body = {
                "id": wanted.slug,
                "valueType": "string",
                "defaultValue": wanted.default,
                "owner": MARK,
                "tags": [MARK],
                "environments": {self._environment: {"enabled": True}},
                "rules": rules,
            }
            writing.post(f"create the feature {wanted.slug}", "/v2/features", body)
            return
        change: Json = {}
        if found.feature["defaultValue"] != wanted.default:
            change["defaultValue"] = wanted.default
        if found.feature["rules"] != rules:
            change["rules"] = rules
        if change:
            sentence = f"change {' and '.join(change)} of the feature {wanted.slug}"
            writing.post(sentence, f"/v2/features/{wanted.slug}", change)

    def _merged_rules(self, wanted: WantedFlag, found: Found) -> list[Json]:
        """Return the rules of others as they are, and ours where it was, else after them."""
        ours = {e["id"] for e in (found.experiment, *found.older) if e}
        due = self._rules_of_ours(wanted, found.experiment)
        merged: list[Json] = []
        for rule in rules_of(found.feature):
            if not _is_ours(rule, wanted.slug, ours):
                merged.append(rule)
            elif due:
                same = rule_essence(rule) == rule_essence(due[0])
                merged.append(rule if same else due[0])
                due = []
        return merged + due

    def _rules_of_ours(self, wanted: WantedFlag, experiment: Json | None) -> list[Json]:
        """Return the rule that serves what is wanted; none where the default does."""
        if wanted.test and experiment:
            ids = {arm["key"]: arm["variationId"] for arm in experiment["variations"]}
            return [
                self._rule("experiment-ref", wanted.test.tracking_key)
                | {
                    "experimentId": experiment["id"],
                    "variations": [
                        {"variationId": ids[key], "value": key} for key, _ in wanted.test.arms
                    ],
                }
            ]
        if wanted.winner:
            return [
                self._rule("force", wanted.winner.rule_id)
                | {
                    "value": wanted.winner.value,
                    "condition": wanted.winner.audience.condition,
                    "prerequisites": prerequisites(wanted.winner.audience),
                }
            ]
        return []

    def _rule(self, kind: str, id_: str) -> Json:
        return {
            "type": kind,
            "id": id_,
            "description": f"Kept by {MARK}; changes made here are undone.",
            "enabled": True,
            "allEnvironments": False,
            "environments": [self._environment],
        }

    def _toggle(self, wanted: WantedFlag, found: Found, writing: _Writing, *, is_on: bool) -> None:
        if found.feature is None or self._is_on(found.feature) is is_on:
            return
        sentence = f"switch {wanted.slug} {'on' if is_on else 'off'} in {self._environment}"
        body = {"environments": {self._environment: is_on}, "reason": f"pushed by {MARK}"}
        writing.post(sentence, f"/v2/features/{wanted.slug}/toggle", body)

    def _stop(self, wanted: WantedFlag, found: Found, writing: _Writing) -> None:
        experiment = found.experiment
        if experiment is None or is_ended(experiment, wanted):
            return
        body: Json = {"results": "lost", "enableTemporaryRollout": False}
        if wanted.released:
            released = variation_id(experiment, wanted.released)
            body = {
                "results": "won",
                "winnerVariationId": released,
                "releasedVariationId": released,
                "enableTemporaryRollout": True,
            }
        sentence = f"stop {wanted.tracking_key} as {body['results']}"
        path = f"/v1/experiments/{experiment['id']}/stop"
        writing.post(sentence, path, body | {"reason": f"decided in {MARK}"})

    def _stop_older(self, found: Found, writing: _Writing) -> None:
        for experiment in found.older:
            if experiment["status"] == "running":
                body = {"results": "dnf", "enableTemporaryRollout": False}
                path = f"/v1/experiments/{experiment['id']}/stop"
                writing.post(f"stop {tracking_key_of(experiment)}", path, body)


def _test_faults(test: WantedTest, experiment: Json | None) -> list[str]:
    if experiment is None:
        return ["there is no experiment"]
    faults = experiment_faults(test, experiment)
    if experiment["status"] != "running":
        faults.append(f"it is {experiment['status']}")
    return faults


def _must_be_runnable(test: WantedTest, experiment: Json) -> None:
    if experiment["status"] == "stopped":
        raise InputError(
            f"Somebody stopped {test.tracking_key} on the GrowthBook server.",
            hint="`expplat rollback` does so here too; or restart it there.",
        )
    there = tuple(arm["key"] for arm in experiment["variations"])
    if there != tuple(key for key, _ in test.arms):
        raise InputError(
            f"{test.tracking_key} has other arms on the GrowthBook server: {', '.join(there)}.",
            hint="Set them back there; users would be assigned anew.",
        )


def _imagined(test: WantedTest) -> Json:
    """Return the experiment that a dry run does not create."""
    arms = [{"variationId": key, "key": key} for key, _ in test.arms]
    return {"id": "", "status": "draft", "variations": arms}


def _is_ours(rule: Json, slug: str, experiments: set[str]) -> bool:
    if is_reference(rule):
        return rule["experimentId"] in experiments
    return bool(re.fullmatch(rf"{re.escape(slug)}\.p\d+\.graduated", rule.get("id", "")))
