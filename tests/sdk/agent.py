"""The official Python SDK with a stream, asked over standard output.

    python agent.py follow <host> <client key> <feature> [<decryption key>]   the asynchronous class
    python agent.py single <host> <client key> <feature> [<decryption key>]   the synchronous class
    python agent.py remote <host> <client key> <feature> <user>               evaluated by the host

Each prints one line a change, for ever; of all evaluations until then, how many took 10 ms or more.
"""

import asyncio
import json
import sys
import time

from growthbook import GrowthBook
from growthbook.common_types import FeatureRefreshStrategy, Options, UserContext
from growthbook.growthbook_client import GrowthBookClient

USERS = [{"user_id": f"user-{i}"} for i in range(200)]
STREAM = FeatureRefreshStrategy.SERVER_SENT_EVENTS


def say(facts: object) -> None:
    print(json.dumps(facts), flush=True)


class Watch:
    """Counts evaluations, and the slow ones among them."""

    def __init__(self) -> None:
        self.counts = {"evaluations": 0, "slow": 0}

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.counts["evaluations"] += 1
        self.counts["slow"] += time.perf_counter() - self._began >= 0.010


async def follow(host: str, client_key: str, feature: str, decryption_key: str = "") -> None:
    options = Options(
        api_host=host,
        client_key=client_key,
        decryption_key=decryption_key,
        refresh_strategy=STREAM,
    )
    await _follow(GrowthBookClient(options), feature, USERS)


async def remote(host: str, client_key: str, feature: str, user: str) -> None:
    tracked = {}

    def track(experiment, result, user_context) -> None:
        tracked[result.hashValue] = [experiment.key, result.key]

    options = Options(
        api_host=host,
        client_key=client_key,
        remote_eval=True,
        refresh_strategy=STREAM,
        on_experiment_viewed=track,
    )
    await _follow(GrowthBookClient(options), feature, [{"user_id": user}], tracked)


async def _follow(client, feature: str, users: list, tracked: object = None) -> None:
    say({"ready": await client.initialize()})
    shown, watch = None, Watch()
    while True:
        arms = []
        for user in users:
            with watch:
                result = await client.eval_feature(feature, UserContext(attributes=user))
            arms.append(result.value)
        if arms != shown:
            shown = arms
            say({"arms": arms, "tracked": tracked} | watch.counts)
        await asyncio.sleep(0.02)


def single(host: str, client_key: str, feature: str, decryption_key: str = "") -> None:
    client = GrowthBook(
        api_host=host, client_key=client_key, decryption_key=decryption_key, streaming=True
    )
    client.load_features()
    say({"ready": bool(client.get_features())})
    shown, watch = None, Watch()
    while True:
        arms = []
        for user in USERS:
            with watch:
                client.set_attributes(user)
                arms.append(client.eval_feature(feature).value)
        if arms != shown:
            shown = arms
            say({"arms": arms} | watch.counts)
        time.sleep(0.02)


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    if mode == "single":
        single(*rest)
    else:
        asyncio.run({"follow": follow, "remote": remote}[mode](*rest))
