"""Ask every peer, in the peers' environment, and keep what they say in `answers/`.

`make peers`, then `.venv/bin/python -m tests.peers.record_answers`.
"""

from __future__ import annotations

import sys

from tests.peers.asking import ANSWERS, PEERS, ask

if __name__ == "__main__":
    for peer in PEERS:
        (ANSWERS / f"{peer}.json").write_text(ask(peer))
        sys.stdout.write(f"{peer}: recorded\n")
