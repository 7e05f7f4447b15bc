"""
Write kubeconfig texts.

A kubeconfig is YAML, and JSON is YAML: every client reads this, and no YAML library
is needed. Everything is inside the text, so the file can be copied elsewhere.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from control_plane.certificates import Credential

_CLUSTER = "control-plane"


def with_certificate(
    url: str, authority: bytes, user: str, credential: Credential
) -> str:
    """
    Write the kubeconfig of a user known by a client certificate.

    Args:
        url:
            Address of the API server.
        authority:
            Certificate to verify the server with, PEM.
        user:
            What the user is called in the file.
        credential:
            The user's certificate and key.

    Returns:
        The text.
    """
    return _text(
        url,
        authority,
        user,
        {
            "client-certificate-data": _encode(credential.certificate),
            "client-key-data": _encode(credential.key),
        },
    )


def with_token(url: str, authority: bytes, user: str, token: str) -> str:
    """
    Write the kubeconfig of a user known by a bearer token.

    Args:
        url:
            Address of the API server.
        authority:
            Certificate to verify the server with, PEM.
        user:
            What the user is called in the file.
        token:
            The token.

    Returns:
        The text.
    """
    return _text(url, authority, user, {"token": token})


def _text(url: str, authority: bytes, user: str, identity: Mapping[str, str]) -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": _CLUSTER,
                "cluster": {
                    "server": url,
                    "certificate-authority-data": _encode(authority),
                },
            }
        ],
        "users": [{"name": user, "user": identity}],
        "contexts": [
            {"name": _CLUSTER, "context": {"cluster": _CLUSTER, "user": user}}
        ],
        "current-context": _CLUSTER,
    }
    return json.dumps(content, indent=2) + "\n"


def _encode(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
