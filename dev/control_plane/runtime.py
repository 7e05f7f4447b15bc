"""
Start the programs of one control plane in order, and keep the ways to end them.

Order: etcd, kube-apiserver, kube-controller-manager; each is ready before the next
is started. Whatever is started or made is put on one exit stack at once, and closing
that leaves nothing behind, from wherever the start got to.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane import commands
from control_plane.commands import LOOPBACK
from control_plane.errors import ControlPlaneFailed, ControlPlaneUnavailable
from control_plane.identities import Identities
from control_plane.kubectl import Kubectl
from control_plane.layout import Layout
from control_plane.ports import PortClaim
from control_plane.processes import Program, Watch
from control_plane.readiness import Questions, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from control_plane.binaries import Binaries

READY_SECONDS = 180.0
"""
Longest wait for a program; about three seconds on an idle machine with two cores.
"""

DRAIN_SECONDS = 75.0
"""
Longest wait for kube-apiserver to end when asked: it gives requests under way up to
a minute.
"""

_MADE_BY_CONTROLLERS = "/api/v1/namespaces/default/serviceaccounts/default"


class Runtime:
    """
    One control plane that has been started.
    """

    def __init__(
        self,
        binaries: Binaries,
        *,
        controller_manager: bool,
        apiserver_arguments: Sequence[str],
    ) -> None:
        """
        Start it and wait until it is ready.

        Args:
            binaries:
                The programs.
            controller_manager:
                Whether to start controllers.
            apiserver_arguments:
                More arguments for kube-apiserver.

        Raises:
            ControlPlaneUnavailable: Controllers are wanted and no program is there.
            ControlPlaneFailed: A program ended or did not get ready. Whatever was
                started is ended.
        """
        if controller_manager and binaries.kube_controller_manager is None:
            raise ControlPlaneUnavailable(
                f"There is no kube-controller-manager in {binaries.folder}."
            )
        self._cleanup = ExitStack()
        self._service_accounts = controller_manager
        self._apiserver_arguments = apiserver_arguments
        self._apiserver: Program | None = None
        self._binaries = binaries
        self.version = ""
        try:
            self.port = self._cleanup.enter_context(PortClaim(LOOPBACK)).port
            self.etcd_port = self._cleanup.enter_context(PortClaim(LOOPBACK)).port
            self.url = f"https://{LOOPBACK}:{self.port}"
            self.layout = Layout(self._private_folder())
            self._watch = Watch(self.layout.folder)
            self._cleanup.callback(self._watch.close)
            self.identities = Identities(self.layout, self.url)
            self.kubectl = Kubectl(
                program=binaries.kubectl,
                kubeconfig=self.identities.admin,
                home=self.layout.home,
            )
            self._questions = Questions(self.layout, LOOPBACK, self.port)
            self._start_all()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """
        End everything and remove every file. More than once is fine.
        """
        self._cleanup.close()

    def start_apiserver(self) -> None:
        """
        Start kube-apiserver and wait until it is ready.

        Raises:
            ControlPlaneFailed: It runs already, ended, or did not get ready.
        """
        if self._apiserver is not None:
            raise ControlPlaneFailed("kube-apiserver runs already.")
        command = commands.kube_apiserver(
            self._binaries.kube_apiserver,
            self.layout,
            port=self.port,
            etcd_port=self.etcd_port,
            service_accounts=self._service_accounts,
        )
        # Of two equal flags the later one counts.
        self._apiserver = self._start([*command, *self._apiserver_arguments])
        try:
            wait_until(
                "kube-apiserver to be ready",
                self._questions.ready,
                programs=(self._etcd, self._apiserver),
                seconds=READY_SECONDS,
            )
        except BaseException:
            self.kill_apiserver()
            raise

    def stop_apiserver(self) -> None:
        """
        Let kube-apiserver finish, and wait until it is gone.
        """
        if self._apiserver is not None:
            self._apiserver.terminate(DRAIN_SECONDS)
            self._apiserver = None

    def kill_apiserver(self) -> None:
        """
        End kube-apiserver at once.
        """
        if self._apiserver is not None:
            self._apiserver.kill()
            self._apiserver = None

    def _start_all(self) -> None:
        self.layout.home.mkdir()
        self._etcd = self._start(
            commands.etcd(self._binaries.etcd, self.layout, self.etcd_port)
        )
        self.start_apiserver()
        self.version = self._questions.version()
        if self._service_accounts and self._binaries.kube_controller_manager:
            self._start_controller_manager(self._binaries.kube_controller_manager)

    def _start_controller_manager(self, binary: Path) -> None:
        program = self._start(
            commands.kube_controller_manager(
                binary, self.layout, self.identities.controller_manager
            )
        )
        wait_until(
            "kube-controller-manager to make the first service account",
            lambda: self._questions.exists(_MADE_BY_CONTROLLERS),
            programs=(program,),
            seconds=READY_SECONDS,
        )

    def _start(self, command: Sequence[str]) -> Program:
        name = Path(command[0]).name
        program = Program(
            name,
            command,
            log=self.layout.log(name),
            environ={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self.layout.home),
            },
            watch=self._watch,
        )
        # Killed, not asked: nothing of what they would still write is kept.
        self._cleanup.callback(program.kill)
        return program

    def _private_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="control-plane-"))
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder
