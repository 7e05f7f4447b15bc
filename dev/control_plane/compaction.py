"""
Make etcd forget, as it does by itself after some minutes.

A watch or a list that continues from before then is told that its resource version
is too old: the way to see what a client does about it.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from control_plane.commands import LOOPBACK

_REQUEST_SECONDS = 10.0


def compact(port: int) -> int:
    """
    Drop all history of etcd up to now.

    Args:
        port:
            Where etcd listens for clients.

    Returns:
        The revision that is the oldest one known from now on.
    """
    # Keys travel in base64; any key will do, the answer's header is what counts.
    header = _ask(port, "kv/range", {"key": "AA=="})["header"]
    revision = int(header["revision"])
    _ask(port, "kv/compaction", {"revision": str(revision), "physical": True})
    return revision


def _ask(port: int, what: str, question: dict[str, Any]) -> dict[str, Any]:
    # etcd serves its gRPC interface as JSON as well, on the same port.
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{port}/v3/{what}",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    # No proxy of the environment is asked for a loopback address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_REQUEST_SECONDS) as answer:
        parsed: dict[str, Any] = json.load(answer)
    return parsed
