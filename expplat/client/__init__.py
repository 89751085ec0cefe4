"""What a production service imports: variants of its units, and what happened to them.

    from expplat.client import Client

    client = Client("http://expplat:8787", client_key="sdk-…", ingest_key="eik_…")
    if client.variant("hybrid_rrf", unit="user-42") == "treatment":
        ...
    client.outcome("task_success", 1.0, unit="user-42")

The last good flags stay in memory and on disk, and events stay on disk until the server has them.
Nothing here raises into the service or waits for the network.
"""

from expplat.client._client import Client
from expplat.client._facts import Assignment
from expplat.client._settings import ClientOptions, Pace
from expplat.client._stats import ClientStats
from expplat.client._timing import RequestScope, usage
from expplat.client.asgi import ExpplatMiddleware

__all__ = [
    "Assignment",
    "Client",
    "ClientOptions",
    "ClientStats",
    "ExpplatMiddleware",
    "Pace",
    "RequestScope",
    "usage",
]
