"""
Ask the API server small questions over HTTPS, and wait for an answer.

For the control plane's own start only; tests use `kubectl` or their client.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING

from control_plane.errors import ControlPlaneFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from control_plane.layout import Layout
    from control_plane.processes import Program

_POLL_SECONDS = 0.05
_REQUEST_SECONDS = 5.0


class Questions:
    """
    Questions to one API server, asked as its administrator.
    """

    def __init__(self, layout: Layout, address: str, port: int) -> None:
        """
        Prepare them; nothing is sent yet.

        Args:
            layout:
                Where the certificates are.
            address:
                Where the server is.
            port:
                Where the server listens.
        """
        self._address = address
        self._port = port
        self._tls = ssl.create_default_context(cafile=layout.authority)
        self._tls.load_cert_chain(layout.admin_certificate, layout.admin_key)

    def ready(self) -> bool:
        """
        Tell whether the server answers that it is ready.
        """
        return self.exists("/readyz")

    def exists(self, path: str) -> bool:
        """
        Tell whether the server answers a path with success.

        Args:
            path:
                Path of the request.
        """
        return self._get(path) is not None

    def version(self) -> str:
        """
        Ask for the release, such as ``v1.37.1``.

        Raises:
            ControlPlaneFailed: No answer.
        """
        body = self._get("/version")
        if body is None:
            raise ControlPlaneFailed("kube-apiserver does not tell its version.")
        return str(json.loads(body)["gitVersion"])

    def _get(self, path: str) -> bytes | None:
        connection = http.client.HTTPSConnection(
            self._address, self._port, timeout=_REQUEST_SECONDS, context=self._tls
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            # Not up yet, or just gone; the caller watches the program itself.
            return None
        finally:
            connection.close()
        return body if answer.status == http.client.OK else None


def wait_until(
    wanted: str,
    condition: Callable[[], bool],
    *,
    programs: Sequence[Program],
    seconds: float,
) -> None:
    """
    Wait until a condition holds, as long as the programs behind it run.

    Args:
        wanted:
            What is waited for, to end the sentence "waited for".
        condition:
            Asked again and again until it is true.
        programs:
            Programs that must be running; the last one is the one waited for.
        seconds:
            How long it may take.

    Raises:
        ControlPlaneFailed: A program ended, or the time is over; the text has the
            end of the log.
    """
    give_up = time.monotonic() + seconds
    while not condition():
        for program in programs:
            program.check()
        if time.monotonic() > give_up:
            raise ControlPlaneFailed(
                f"Waited {seconds:.0f} s for {wanted}; the log of"
                f" {programs[-1].name} ends with:\n{programs[-1].tail()}"
            )
        time.sleep(_POLL_SECONDS)
