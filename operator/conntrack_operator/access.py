"""
How to reach the API server, and who we are there.

Read with the official client library, which knows kubeconfig files, exec plugins and
service accounts. Everything is read anew every ten minutes and whenever the server
answers 401: tokens and certificate authorities rotate.
"""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubernetes.client import Configuration
from kubernetes.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)

from conntrack_operator.errors import ConfigInvalid
from conntrack_operator.pacing import Clock

RELOAD_SECONDS: Final = 600.0
"""Bound tokens are replaced at four fifths of their hour."""


NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""There in every pod that has a service account."""


def namespace(default: str, file: Path = NAMESPACE_FILE) -> str:
    """
    Give the namespace of our pod, or the default outside of a pod.
    """
    try:
        return file.read_text().strip() or default
    except OSError:
        return default


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An address and the credentials for it."""

    server: str
    token: str | None
    ca_file: str | None
    certificate_file: str | None
    key_file: str | None
    insecure: bool
    server_name: str | None
    """Name to expect in the server's certificate, when it is not in the address."""
    tls: ssl.SSLContext


class Credentials:
    """Keeps the access fresh."""

    def __init__(
        self, *, kubeconfig: str | None, context: str | None, clock: Clock
    ) -> None:
        """
        Remember where to read from; nothing is read yet.

        Args:
            kubeconfig: A file; ``None``: the service account of our pod, and outside
                of a cluster the usual file of a person.
            context: A context of the file; ``None``: its current one.
            clock: Tells when to read again.
        """
        self._kubeconfig = kubeconfig
        self._context = context
        self._clock = clock
        self._access: Access | None = None
        self._read_at = 0.0
        self._lock = asyncio.Lock()

    async def access(self) -> Access:
        """
        Give an access that is at most ten minutes old.

        Raises:
            ConfigInvalid: Nothing to read, or not readable.
        """
        async with self._lock:
            fresh = self._clock() - self._read_at < RELOAD_SECONDS
            if self._access is None or not fresh:
                # Reads files and may run a plugin, so not in the event loop.
                self._access = await asyncio.to_thread(self._read)
                self._read_at = self._clock()
            return self._access

    def forget(self) -> None:
        """
        Read again next time: the server did not accept what we have.
        """
        self._access = None

    def _read(self) -> Access:
        """
        Read the configuration once.
        """
        found = Configuration()
        try:
            if self._kubeconfig:
                Path(self._kubeconfig).read_bytes()  # the library says less
            if self._kubeconfig or self._context:
                load_kube_config(self._kubeconfig, self._context, found)  # type: ignore[no-untyped-call]
            else:
                _read_default(found)
            return _access(found)
        except Exception as error:
            text = " ".join(str(error).split())
            if isinstance(error, OSError) and error.strerror:
                text = error.strerror
            elif not isinstance(error, ConfigException):
                # The library checks little: a file of a wrong shape raises anything.
                text = f"it does not have the shape of one: {text}"
            what = f"cannot read credentials from {self._source}: {text}"
            raise ConfigInvalid(what) from error

    @property
    def _source(self) -> str:
        """
        Name what is read, for people.
        """
        if self._kubeconfig:
            return f"the kubeconfig {self._kubeconfig}"
        if self._context:
            return f"the usual kubeconfig, with the context {self._context}"
        return "a pod's service account or the usual kubeconfig (see --kubeconfig)"


def _read_default(found: Configuration) -> None:
    """
    Read our pod's service account, or a person's kubeconfig outside of a cluster.
    """
    try:
        load_incluster_config(found)  # type: ignore[no-untyped-call]
    except ConfigException:
        load_kube_config(client_configuration=found)  # type: ignore[no-untyped-call]


def _access(found: Configuration) -> Access:
    """
    Take from the library's configuration what a request needs.
    """
    key = found.get_api_key_with_prefix
    header = key("BearerToken") or key("authorization") or ""
    tls = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if not found.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if found.cert_file:
        tls.load_cert_chain(found.cert_file, found.key_file)
    return Access(
        server=found.host.rstrip("/"),
        # "Bearer x" of a file, "bearer x" of a pod's account, or x alone.
        token=header.strip().rpartition(" ")[2] or None,
        ca_file=found.ssl_ca_cert,
        certificate_file=found.cert_file,
        key_file=found.key_file,
        insecure=not found.verify_ssl,
        server_name=getattr(found, "tls_server_name", None),
        tls=tls,
    )
