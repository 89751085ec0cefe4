"""The official Python SDK with a stream, asked over standard output.

`python agent.py follow <host> <client key> <feature>` prints one line a change, for ever.
"""

import asyncio
import json
import sys

from growthbook.common_types import FeatureRefreshStrategy, Options, UserContext
from growthbook.growthbook_client import GrowthBookClient

USERS = 200


async def follow(host: str, client_key: str, feature: str) -> None:
    strategy = FeatureRefreshStrategy.SERVER_SENT_EVENTS
    client = GrowthBookClient(
        Options(api_host=host, client_key=client_key, refresh_strategy=strategy)
    )
    print(json.dumps({"ready": await client.initialize()}), flush=True)
    shown = None
    while True:
        arms = [
            (
                await client.eval_feature(feature, UserContext(attributes={"user_id": f"user-{i}"}))
            ).value
            for i in range(USERS)
        ]
        if arms != shown:
            shown = arms
            print(json.dumps({"arms": arms}), flush=True)
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(follow(*sys.argv[2:]))
