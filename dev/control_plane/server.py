"""
Run one control plane: etcd, kube-apiserver and, if wanted, the controller manager.

All of it lives in one private temporary folder and on loopback ports of its own, so
any number of them can run side by side. Nothing outlives it: not after an exception,
not after Ctrl-C, and not after the process that started it was killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from control_plane.binaries import find_binaries
from control_plane.compaction import compact
from control_plane.errors import ControlPlaneFailed
from control_plane.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from subprocess import CompletedProcess

    from control_plane.binaries import Binaries


class ControlPlane:
    """
    A Kubernetes control plane of one's own; a context manager.
    """

    def __init__(
        self,
        binaries: Binaries | None = None,
        *,
        controller_manager: bool = False,
        apiserver_arguments: Sequence[str] = (),
    ) -> None:
        """
        Say what is wanted; nothing is started yet.

        Args:
            binaries:
                The programs; ``None`` means to find them as the environment says,
                and to build them if need be.
            controller_manager:
                Whether controllers run: daemon sets get pods, namespaces their
                service accounts, owned objects are collected. Service account
                admission is on with them and off without.
            apiserver_arguments:
                More arguments for kube-apiserver. A flag replaces the one that is
                given anyway; to a flag with a list it adds.
        """
        self._binaries = binaries
        self._controller_manager = controller_manager
        self._apiserver_arguments = tuple(apiserver_arguments)
        self._runtime: Runtime | None = None

    def start(self) -> Self:
        """
        Start everything and wait until it is ready.

        Returns:
            The control plane itself.

        Raises:
            ControlPlaneUnavailable: There are no programs to start.
            ControlPlaneFailed: A program ended or did not get ready, or this
                control plane runs already. Whatever was started is ended.
        """
        if self._runtime is not None:
            raise ControlPlaneFailed("This control plane runs already.")
        self._runtime = Runtime(
            self._binaries or find_binaries(),
            controller_manager=self._controller_manager,
            apiserver_arguments=self._apiserver_arguments,
        )
        return self

    def stop(self) -> None:
        """
        End everything and remove every file. More than once is fine.
        """
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    def __enter__(self) -> Self:
        """
        Start, unless started before.
        """
        return self if self._runtime is not None else self.start()

    def __exit__(self, *_: object) -> None:
        """
        Stop.
        """
        self.stop()

    @property
    def url(self) -> str:
        """
        Address of the API server.
        """
        return self._now.url

    @property
    def version(self) -> str:
        """
        Release that the API server calls itself, such as ``v1.37.1``.
        """
        return self._now.version

    @property
    def ca_file(self) -> Path:
        """
        Certificate to verify the API server with.
        """
        return self._now.layout.authority

    @property
    def kubeconfig(self) -> Path:
        """
        Kubeconfig of the administrator.
        """
        return self._now.identities.admin

    @property
    def kubectl(self) -> Path:
        """
        The kubectl program of the same release.
        """
        return self._now.kubectl.program

    def kubectl_run(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - the word of subprocess.run
        check: bool = True,
    ) -> CompletedProcess[str]:
        """
        Run kubectl as the administrator, or as ``--kubeconfig`` says.

        Args:
            args:
                Arguments of kubectl.
            input:
                Its standard input, for ``-f -``.
            check:
                Whether a failure is an error here.

        Returns:
            Exit code, output and error output.

        Raises:
            ControlPlaneFailed: The command failed and `check` is set.
        """
        return self._now.kubectl.run(args, given=input, check=check)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """
        Make a user with a client certificate.

        Args:
            user:
                Name of the user.
            groups:
                Groups of the user.

        Returns:
            Kubeconfig of that user.

        Raises:
            ValueError: A name does not fit into a certificate.
        """
        return self._now.identities.with_certificate(user, groups)

    def kubeconfig_for_token(self, token: str) -> Path:
        """
        Write a kubeconfig for whoever holds a token.

        Args:
            token:
                Such as `token_for` returns.

        Returns:
            Kubeconfig with that token.
        """
        return self._now.identities.with_token(token)

    def token_for(
        self, namespace: str, service_account: str, *, pod: str | None = None
    ) -> str:
        """
        Ask for a token of a service account.

        Args:
            namespace:
                Namespace of the account.
            service_account:
                Name of the account.
            pod:
                Pod of the same namespace to bind the token to. The API server then
                knows the pod's node from the token.

        Returns:
            The token.

        Raises:
            ControlPlaneFailed: There is no such account or pod.
        """
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
        done = self.kubectl_run(
            "create", "token", service_account, f"--namespace={namespace}", *bound
        )
        return done.stdout.strip()

    def stop_apiserver(self) -> None:
        """
        End the API server as an upgrade would, and wait until it is gone.

        It finishes the requests under way first, which takes seconds. The rest
        keeps running. More than once is fine.
        """
        self._now.stop_apiserver()

    def kill_apiserver(self) -> None:
        """
        End the API server as a crash would. More than once is fine.
        """
        self._now.kill_apiserver()

    def start_apiserver(self) -> None:
        """
        Start the API server again, at the same address, and wait until it is ready.

        Raises:
            ControlPlaneFailed: It runs already, ended, or did not get ready.
        """
        self._now.start_apiserver()

    def etcd_compact(self) -> int:
        """
        Make etcd forget all history up to now.

        Returns:
            The revision that is the oldest one known from now on.
        """
        return compact(self._now.etcd_port)

    @property
    def _now(self) -> Runtime:
        if self._runtime is None:
            raise ControlPlaneFailed("This control plane is not running.")
        return self._runtime
