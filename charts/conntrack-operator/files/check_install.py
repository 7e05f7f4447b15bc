"""What `helm test` runs inside the operator's image, with the operator's token."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAMED = 10
PATIENCE = 60
"""Seconds that agents which have just started are given."""

SILENCE = timedelta(minutes=12)
"""Agents report every 6 minutes at the latest."""


def items(plural):
    """List the objects of one kind."""
    host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    request = urllib.request.Request(
        f"{server}/apis/conntrack.dev/v1alpha1/{plural}",
        headers={"Authorization": "Bearer " + (ACCOUNT / "token").read_text()},
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            return json.load(answer)["items"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{plural} cannot be listed: {error.code} {error.reason}")
    except OSError as error:
        sys.exit(f"the API server at {server} cannot be asked: {error}")


def watched(node, now):
    """Tell whether its agent has answered what it was told last, and still reports."""
    status = node.get("status", {})
    if status.get("observedGeneration") != node["metadata"]["generation"]:
        return False
    heartbeat = status.get("heartbeat")
    return bool(heartbeat) and now - datetime.fromisoformat(heartbeat) < SILENCE


def verdict(policies, nodes, now):
    """Say what was found, and name nodes without an agent that answers."""
    silent = [node["metadata"]["name"] for node in nodes if not watched(node, now)]
    if silent:
        named, more = silent[:NAMED], len(silent) - NAMED
        end = f" and {more} more" if more > 0 else ""
        return f"no answer from the agents of {', '.join(named)}{end}", False
    if not nodes:
        return f"{len(policies)} policies select no node yet, so no agent runs", True
    found = f"{len(policies)} policies, {len(nodes)} nodes"
    return f"{found}, and every node is being watched", True


def main():
    """Look until everything is well, or the patience is at its end."""
    deadline = time.monotonic() + PATIENCE
    while True:
        policies, nodes = items("conntrackpolicies"), items("conntracknodes")
        said, well = verdict(policies, nodes, datetime.now(UTC))
        if well or time.monotonic() > deadline:
            break
        time.sleep(1)
    print(said)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
