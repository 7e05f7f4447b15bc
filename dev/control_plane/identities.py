"""
Hold the identities of one control plane, and write them where programs read them.

Knows the authority, the address of the API server and the folder; `certificates`
makes the values, `kubeconfig` the texts, `layout` the names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from control_plane import kubeconfig
from control_plane.certificates import Authority, new_signing_key
from control_plane.commands import (
    CONTROLLER_MANAGER_USER,
    LOOPBACK,
    SERVICE_ADDRESS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from control_plane.certificates import Credential
    from control_plane.layout import Layout

_HOSTS = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)

_ADMIN_GROUP = "system:masters"


class Identities:
    """
    The users of one control plane.
    """

    def __init__(self, layout: Layout, url: str) -> None:
        """
        Make the authority and write what the programs need to start.

        Args:
            layout:
                Where the files go.
            url:
                Address of the API server.
        """
        self._layout = layout
        self._url = url
        self._authority = Authority()
        self._count = 0
        server = self._authority.issue_server(_HOSTS, (LOOPBACK, SERVICE_ADDRESS))
        admin = self._authority.issue_client("admin", (_ADMIN_GROUP,))
        for path, content in (
            (layout.authority, self._authority.certificate),
            (layout.server_certificate, server.certificate),
            (layout.server_key, server.key),
            (layout.admin_certificate, admin.certificate),
            (layout.admin_key, admin.key),
            (layout.service_account_key, new_signing_key()),
        ):
            path.write_bytes(content)
        self.admin = self._write("admin", admin)
        """
        Kubeconfig of the administrator.
        """
        self.controller_manager = self._write(
            "controller-manager", self._authority.issue_client(CONTROLLER_MANAGER_USER)
        )
        """
        Kubeconfig of the controller manager.
        """

    def with_certificate(self, user: str, groups: Sequence[str]) -> Path:
        """
        Issue a client certificate, and write a kubeconfig with it.

        Args:
            user:
                Name of the user.
            groups:
                Groups of the user.

        Returns:
            A new file.

        Raises:
            ValueError: A name does not fit into a certificate.
        """
        credential = self._authority.issue_client(user, groups)
        return self._write(self._file_name(user), credential)

    def with_token(self, token: str) -> Path:
        """
        Write a kubeconfig with a token.

        Args:
            token:
                The token.

        Returns:
            A new file.
        """
        path = self._layout.kubeconfig(self._file_name("token"))
        path.write_text(
            kubeconfig.with_token(
                self._url, self._authority.certificate, "token", token
            )
        )
        return path

    def _write(self, user: str, credential: Credential) -> Path:
        path = self._layout.kubeconfig(user)
        path.write_text(
            kubeconfig.with_certificate(
                self._url, self._authority.certificate, user, credential
            )
        )
        return path

    def _file_name(self, user: str) -> str:
        # Counted, so that a file handed out before is never written again.
        self._count += 1
        return f"{re.sub('[^a-z0-9.-]+', '-', user.lower())}-{self._count}"
