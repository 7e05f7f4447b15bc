"""
``python -m demo``: run the demonstration; ``--hold`` keeps it open at the end.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from control_plane import (
    ControlPlane,
    ControlPlaneError,
    ControlPlaneUnavailable,
    find_binaries,
)
from control_plane.processes import Watch
from demo import story
from demo.cast import ROOT, Cast, Member, members
from demo.errors import DemoFailed
from demo.host import Guard, hands_off, look
from demo.terminal import Terminal

UNAVAILABLE = 3
INTERRUPTED = 130


def main() -> int:
    """
    Run the demonstration.

    Returns:
        0 when every step did what it says; 1 when one did not; 3 when this machine
        cannot have a control plane; 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--hold", action="store_true", help="stay open until Ctrl-C")
    hold = parser.parse_args().hold
    # Explicitly, since a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    began = time.monotonic()
    try:
        play(hold=hold)
    except ControlPlaneUnavailable as error:
        print(f"demo: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (ControlPlaneError, DemoFailed) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; this host is as it was found", file=sys.stderr)
        return INTERRUPTED
    print(f"\ndone in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def play(*, hold: bool) -> None:
    """
    Set the stage, tell the story, put everything back.
    """
    refused = hands_off(look())
    binaries = find_binaries()
    terminal = Terminal()
    terminal.say("A real control plane, the operator, and an agent for each of 4 nodes")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-")))
        manager = binaries.kube_controller_manager is not None
        plane = stack.enter_context(ControlPlane(binaries, controller_manager=manager))
        environ = {
            **os.environ,
            "KUBECONFIG": str(plane.kubeconfig),
            "PATH": f"{plane.kubectl.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        }
        os.chdir(ROOT)
        terminal = Terminal(environ=environ)
        print(f"export KUBECONFIG={plane.kubeconfig} PATH={plane.kubectl.parent}:$PATH")
        if not refused:
            guard = stack.enter_context(Guard())
        watch = Watch(folder)
        stack.callback(watch.close)
        cast = Cast(plane, folder, watch)
        stack.callback(cast.end)
        everybody = members(folder, observe_host=bool(refused))
        host = everybody[0]
        set_stage(terminal, folder, everybody)
        cast.start_operator()
        for member in everybody:
            program = cast.start_agent(member)
            if member is host and not refused:
                guard.writer(program.pid)
        try:
            tell(terminal, host, refused)
        except DemoFailed:
            print(cast.tails(), file=sys.stderr)
            raise
        if hold:
            stay(plane)
    if not refused:
        terminal.say("This host as it was found:")
        terminal.run(story.SHOW_KERNEL)


def tell(terminal: Terminal, host: Member, refused: str) -> None:
    """
    Tell the story; the evening peak only on a host that may be changed.
    """
    story.first_policy(terminal, host, refused)
    if refused:
        story.bigger_table(terminal)
        terminal.run("kubectl get conntrack")
    else:
        story.evening_peak(terminal, host)


def set_stage(terminal: Terminal, folder: Path, everybody: tuple[Member, ...]) -> None:
    """
    Install the CRDs and the rights, and register the nodes.
    """
    terminal.run("kubectl apply -f crds/ -f dev/demo/rbac.yaml")
    terminal.run(
        "kubectl wait --for=condition=Established crd/conntrackpolicies.conntrack.dev "
        "crd/conntracknodes.conntrack.dev --timeout=30s"
    )
    nodes = folder / "nodes.yaml"
    nodes.write_text("---\n".join(member.manifest() for member in everybody))
    terminal.run(f"kubectl apply -f {nodes}")


def stay(plane: ControlPlane) -> None:
    """
    Keep everything running until Ctrl-C.
    """
    print("\nEverything stays up until Ctrl-C. From another terminal:")
    print(f"  export KUBECONFIG={plane.kubeconfig} PATH={plane.kubectl.parent}:$PATH")
    print("  kubectl get conntrack -o wide", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print(flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """
    Treat SIGTERM and Ctrl-C alike, so that everything is put back.
    """
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
