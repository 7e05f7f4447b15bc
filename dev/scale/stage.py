"""
The stage of a run: a control plane, the agents of a fleet, and who looks at them.
"""

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.process import resident_mib
from conntrack_operator.access import Credentials
from conntrack_operator.transport import Transport
from control_plane import ControlPlane
from control_plane.processes import Program, Watch
from demo.cast import NAMESPACE, ROOT, Cast
from scale.account import Account

EACH: Final = 250
"""Agents in one process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A control plane, and who plays on it."""

    plane: ControlPlane
    account: Account
    cast: Cast
    folder: Path
    watch: Watch


@contextmanager
def stage() -> Iterator[Stage]:
    """
    Start a control plane whose requests are written down.
    """
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-"))
        folder = Path(name)
        account = Account(folder)
        plane = stack.enter_context(ControlPlane(apiserver_arguments=account.arguments))
        watch = Watch(folder / "swept")
        stack.callback(watch.close)
        cast = Cast(plane, folder, watch)
        stack.callback(cast.end)
        for path in ("crds", "dev/demo/rbac.yaml"):
            plane.kubectl_run("apply", "-f", str(ROOT / path))
        plane.kubectl_run("wait", "--for=condition=Established", "crd", "--all")
        yield Stage(plane=plane, account=account, cast=cast, folder=folder, watch=watch)


@contextmanager
def agents(on: Stage, count: int) -> Iterator[None]:
    """
    Run the agents of a fleet, many in a process.
    """
    token = on.folder / "agents.token"
    token.touch(mode=0o600)
    token.write_text(on.plane.token_for(NAMESPACE, "conntrack-agent"))
    programs = [
        Program(
            f"agents-{first}",
            [
                *(sys.executable, "-m", "scale.agents", "--first", str(first)),
                *("--count", str(min(EACH, count - first)), "--server", on.plane.url),
                *("--ca-file", str(on.plane.ca_file), "--token-file", str(token)),
            ],
            log=on.folder / f"agents-{first}.log",
            environ={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            watch=on.watch,
        )
        for first in range(0, count, EACH)
    ]
    try:
        yield
        memory = sum(resident_mib(each.pid) for each in programs)
        tell(f"{count} agents took {memory:.0f} MiB")
    finally:
        for each in programs:
            each.kill()


@asynccontextmanager
async def administrator(plane: ControlPlane) -> AsyncIterator[Transport]:
    """
    Connect as the administrator.
    """
    credentials = Credentials(
        kubeconfig=str(plane.kubeconfig), context=None, clock=time.monotonic
    )
    async with Transport(credentials) as transport:
        yield transport


def tell(text: str) -> None:
    """
    Tell a person that something takes a while.
    """
    print(f"  {text} ...", file=sys.stderr, flush=True)
