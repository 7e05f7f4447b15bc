"""
One real API server for all tests of this folder, and a small client to speak with it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import urllib3
import yaml

from control_plane.testing import control_plane_or_skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from control_plane import ControlPlane

CRDS = Path(__file__).parents[2] / "crds"
ROOT = "/apis/conntrack.dev/v1alpha1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server said."""

    code: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """
        Give the sentence of a refusal; empty when there is none.
        """
        return str(self.body.get("message", ""))


class Api:
    """
    The administrator's connection: one request costs a few milliseconds.
    """

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        """
        Take the certificates out of the kubeconfig.

        Args:
            plane: A running control plane.
            folder: Where the certificates may lie.
        """
        user = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]
        files = {}
        for key in ("client-certificate", "client-key"):
            files[key] = folder / key
            files[key].write_bytes(base64.b64decode(user[f"{key}-data"]))
        self._url = plane.url
        self._pool = urllib3.PoolManager(
            ca_certs=str(plane.ca_file),
            cert_file=str(files["client-certificate"]),
            key_file=str(files["client-key"]),
        )

    def close(self) -> None:
        """
        Close every connection.
        """
        self._pool.clear()

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: str = "application/json",
        **query: str,
    ) -> Answer:
        """
        Send one request, strictly validated.

        Args:
            method: For example POST.
            path: Below the API group, for example ``conntrackpolicies``; from the
                root when it begins with a slash.
            body: The object, or ``None``.
            content: Content type of the body.
            query: More parameters, for example ``dryRun="All"``.

        Returns:
            The answer, whatever it is.
        """
        if method not in {"GET", "DELETE"}:
            query = {"fieldValidation": "Strict", **query}
        where = path if path.startswith("/") else f"{ROOT}/{path}"
        response = self._pool.request(
            method,
            f"{self._url}{where}?{urlencode(query)}",
            body=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content},
        )
        return Answer(code=response.status, body=response.json())

    def apply(self, path: str, body: Mapping[str, Any], manager: str) -> Answer:
        """
        Apply fields as one field manager, server-side and without force.
        """
        content = "application/apply-patch+yaml"
        return self.send("PATCH", path, body, content=content, fieldManager=manager)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """
    Run one control plane that knows both kinds.
    """
    with control_plane_or_skip() as plane:
        plane.kubectl_run("apply", "--server-side", f"--filename={CRDS}")
        plane.kubectl_run("wait", "--for=condition=Established", "crd", "--all")
        yield plane


@pytest.fixture(scope="session")
def api(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """
    Connect to the control plane as its administrator.
    """
    connection = Api(control_plane, tmp_path_factory.mktemp("api"))
    yield connection
    connection.close()
