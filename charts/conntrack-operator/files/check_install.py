"""What `helm test` runs inside the operator's image, with the operator's token."""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOST, PORT = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
SERVER = f"https://{f'[{HOST}]' if ':' in HOST else HOST}:{PORT}"
DEADLINE = time.monotonic() + 60


def items(plural):
    """List the objects of one kind."""
    request = urllib.request.Request(
        f"{SERVER}/apis/conntrack.dev/v1alpha1/{plural}",
        headers={"Authorization": "Bearer " + (ACCOUNT / "token").read_text()},
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
        return json.load(answer)["items"]


def answered(node):
    """Tell whether the agent has answered what the node was told last."""
    seen = node.get("status", {}).get("observedGeneration")
    return seen == node["metadata"]["generation"]


policies = items("conntrackpolicies")
while True:
    nodes = items("conntracknodes")
    silent = [node["metadata"]["name"] for node in nodes if not answered(node)]
    if not silent or time.monotonic() > DEADLINE:
        break
    time.sleep(1)
if silent:
    sys.exit(f"no answer from the agents of {', '.join(silent[:10])}")
print(f"{len(policies)} policies, {len(nodes)} nodes, and every node has answered")
