"""
Bring up the node and its cluster, and take them down.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from control_plane import ControlPlane
from control_plane.processes import Program, Watch
from demo.host import Guard, hands_off, look
from e2e.errors import NodeFailed, NodeUnavailable
from e2e.janitor import Janitor, cgroup_folders
from e2e.layout import (
    ADDRESSES,
    CNI_PROGRAMS,
    HIDDEN,
    NODE,
    NODE_ADDRESS,
    PAUSE,
    SERVICE_ADDRESS,
    Layout,
)
from image.build import build
from image.engine import Engine
from image.packages import need
from programs import find_program

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout."""

READY_SECONDS: Final = 120.0
_SYSTEM: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_PROGRAMS: Final = {
    "runc": "runc",
    f"{CNI_PROGRAMS}/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "unshare": "util-linux",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster to install into."""

    kubeconfig: Path
    kubectl_program: Path
    helm_program: Path
    images: dict[str, str] = field(default_factory=dict)
    """Target to image; empty: those that the chart names."""
    layout: Layout | None = None
    """The node's files; ``None`` on a cluster of somebody else."""
    ctr_program: Path | None = None
    nested: bool = False
    """Whether the node is a container of kind."""

    def kubectl(self, *arguments: str, given: str = "", check: bool = True) -> str:
        """
        Run kubectl and give its output.
        """
        return self._run(self.kubectl_program, arguments, given, check=check).stdout

    def helm(
        self, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """
        Run helm.
        """
        return self._run(self.helm_program, arguments, "", check=check)

    def get(self, *arguments: str) -> Any:  # noqa: ANN401 - any object
        """
        Read an object or a list.
        """
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def inside(self, container: str, script: str) -> str:
        """
        Run a shell script in a container, with the rights that its process has.

        Args:
            container: Identifier, as its pod's status names it.
            script: For ``sh``; its failures are part of the answer.
        """
        if self.layout is None or self.ctr_program is None:
            raise NodeUnavailable("only on a node of our own")
        name = container.rpartition("/")[2]
        arguments = ["--address", str(self.layout.socket), "--namespace", "k8s.io"]
        arguments += ["tasks", "exec", "--exec-id", f"x{time.monotonic_ns()}"]
        arguments += ["--fifo-dir", str(self.layout.folder / "fifo"), name]
        arguments += ["sh", "-c", f"({script}) 2>&1; true"]
        return self._run(self.ctr_program, arguments, "", check=True).stdout

    def _run(
        self,
        program: Path,
        arguments: tuple[str, ...] | list[str],
        given: str,
        *,
        check: bool,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(program), *arguments],
            cwd=ROOT,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            words = " ".join(arguments[:4])
            raise NodeFailed(f"`{program.name} {words}`: {done.stderr.strip()}")
        return done


def check_machine() -> None:
    """
    Make sure that this machine can be a node, and install what it lacks.

    Raises:
        NodeUnavailable: It cannot; says why.
    """
    refused = hands_off(look())
    if refused:
        raise NodeUnavailable(f"this machine cannot be the node: {refused}")
    need(_PROGRAMS)
    for address in ADDRESSES:
        done = subprocess.run(
            ["ip", "-json", "route", "get", address],
            capture_output=True,
            text=True,
            check=False,
        )
        routes = json.loads(done.stdout or "[]") if done.returncode == 0 else []
        if routes and "gateway" not in routes[0] and routes[0].get("dev") != "lo":
            raise NodeUnavailable(f"the network of this machine uses {address}")


@contextmanager
def real_node() -> Iterator[Cluster]:
    """
    Build the images, bring up the cluster, and put everything back afterwards.

    Yields:
        The cluster, its node ready and the images loaded.

    Raises:
        NodeUnavailable: This machine cannot be a node.
        NodeFailed: The node did not get ready.
    """
    check_machine()
    programs = {
        name: find_program(name)
        for name in ("helm", "kubelet", "kube-scheduler", "containerd", "ctr")
    }
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="e2e-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        layout = Layout(folder=folder)
        archive = folder / "images.tar"
        janitor = stack.enter_context(Janitor())
        images = save_images(archive)
        guard = stack.enter_context(Guard())
        plane = stack.enter_context(ControlPlane(controller_manager=True))
        watch = Watch(folder)
        stack.callback(watch.close)
        for address in ADDRESSES:
            subprocess.run(
                ["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True
            )
        for each in map(Path, HIDDEN):
            if not each.exists():
                each.mkdir(parents=True)
                stack.callback(each.rmdir)
        for each in cgroup_folders():
            each.mkdir(exist_ok=True)
        layout.write(str(shutil.which("runc", path=_SYSTEM)), kubelet_port=10250)

        def start(name: str, *command: str) -> Program:
            path = f"{programs['containerd'].parent}:{_SYSTEM}"
            program = Program(
                name,
                command,
                log=folder / f"{name}.log",
                environ={
                    "PATH": path,
                    "HOME": str(folder),
                    "PYTHONPATH": f"{ROOT}/dev",
                },
                watch=watch,
            )
            stack.callback(program.kill)
            return program

        port = plane.url.rpartition(":")[2]
        start(
            "forward", sys.executable, "-m", "e2e.forward", SERVICE_ADDRESS, "443", port
        )
        scheduler = plane.kubeconfig_for("system:kube-scheduler")
        start(
            "scheduler",
            str(programs["kube-scheduler"]),
            *(f"--kubeconfig={scheduler}", "--leader-elect=false", "--secure-port=0"),
            *(f"--authentication-kubeconfig={scheduler}",),
            f"--authorization-kubeconfig={scheduler}",
        )
        kubelet = plane.kubeconfig_for(f"system:node:{NODE}", ("system:nodes",))
        node = start(
            "node",
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", _inside(programs, layout, kubelet)),
        )
        janitor.ends(node.pid)
        guard.writer(node.pid)
        cluster = Cluster(
            kubeconfig=plane.kubeconfig,
            kubectl_program=plane.kubectl,
            helm_program=programs["helm"],
            images=images,
            layout=layout,
            ctr_program=programs["ctr"],
        )
        ctr = [str(programs["ctr"]), "--address", str(layout.socket)]
        wait(lambda: _ok([*ctr, "version"]), "containerd answers", node)
        load = ["--namespace", "k8s.io", "images", "import", str(archive)]
        subprocess.run([*ctr, *load], check=True, stdout=subprocess.DEVNULL)
        archive.unlink()
        ready = ["wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s"]
        kubectl = [str(plane.kubectl), f"--kubeconfig={plane.kubeconfig}"]
        wait(lambda: _ok([*kubectl, *ready]), "the node is ready", node)
        yield cluster


def save_images(archive: Path) -> dict[str, str]:
    """
    Build the images and what holds a pod's namespaces, and save them.
    """
    with Engine() as engine:
        images = build(engine)
        text = f'FROM {images["agent"]}\nENTRYPOINT ["sleep", "infinity"]\n'
        engine.pipe(["printf", "%s", text], "build", "--tag", PAUSE, "-")
        engine.save(archive, *images.values(), PAUSE)
    return images


def _inside(programs: dict[str, Path], layout: Layout, kubeconfig: Path) -> str:
    """
    Spell what runs in the node's own namespaces.
    """
    folder = layout.folder
    hide = " && ".join(
        f"mkdir -p {each} && mount -t tmpfs e2e {each}" for each in HIDDEN
    )
    return (
        f"mount --make-rshared / && {hide} || exit 1; "
        f"{programs['containerd']} --config {folder}/containerd.toml "
        f">{folder}/containerd.log 2>&1 & "
        f"exec {programs['kubelet']} --config={folder}/kubelet.yaml "
        f"--kubeconfig={kubeconfig} --hostname-override={NODE} "
        f"--node-ip={NODE_ADDRESS} --root-dir={folder}/kubelet "
        f"--cert-dir={folder}/kubelet/pki"
    )


def wait(
    check: Callable[[], object], what: str, program: Program | None = None
) -> None:
    """
    Wait for a condition.

    Raises:
        NodeFailed: It did not come true; with its name.
    """
    deadline = time.monotonic() + READY_SECONDS
    while not check():
        if program:
            program.check()
        if time.monotonic() > deadline:
            tail = program.tail() if program else ""
            raise NodeFailed(f"not within {READY_SECONDS:.0f} s: {what}\n{tail}")
        time.sleep(0.2)


def _ok(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
