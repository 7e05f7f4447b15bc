"""
``python -m bench``: run all benchmarks on this machine.

As root the kernel is this host's, and what was found is put back; without root it is
a captured tree, which costs the same work.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from bench.alone import (
    agent,
    await_metric,
    exporter,
    fill_milliseconds,
    free_port,
    under_scrapes,
)
from bench.figures import HEADER, Figure, figure
from bench.looks import look_microseconds, sample_microseconds
from bench.process import bare_interpreter, idle
from control_plane import ControlPlane, ControlPlaneError, ControlPlaneUnavailable
from control_plane.processes import Watch
from demo.cast import ROOT, Cast, Member, members
from demo.errors import DemoFailed
from demo.host import Guard, hands_off, look

SETTING = "nf_conntrack_tcp_timeout_established"
DEADLINE = 30.0
UNAVAILABLE = 3


def main() -> int:
    """
    Measure, print, and end with 0; 3 where there is no control plane to be had.
    """
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="edits; default: 50")
    parser.add_argument("--idle", type=float, default=30, help="seconds; default: 30")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        figures = list(measure(options.rounds, options.idle))
    except ControlPlaneUnavailable as error:
        print(f"bench: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (ControlPlaneError, DemoFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([each.document() for each in figures], indent=2))
    else:
        print(HEADER)
        for each in figures:
            print(each.line())
    return 0


def measure(rounds: int, seconds: float) -> Iterator[Figure]:
    """
    Measure the agent by itself, then everything on one small cluster.
    """
    yield from by_itself(seconds)
    with stage() as (plane, member, pid):
        bare = bare_interpreter()
        file = member.root / f"proc/sys/net/netfilter/{SETTING}"
        progress(f"{rounds} edits")
        applied, alone = edits(plane, file, rounds)
        yield figure(
            "kubectl apply to the kernel's value changed",
            "ms",
            applied,
            "kubectl apply of the same file",
            alone,
        )
        progress(f"idle for {seconds:.0f} s")
        mib, cpu = idle(pid, seconds)
        yield figure("agent, idle: resident", "MiB", [mib], "bare Python", [bare])
        yield figure(
            "agent, idle: CPU for each second", "ms", [cpu], "one core", [1000]
        )


def by_itself(seconds: float) -> Iterator[Figure]:
    """
    Measure what needs no cluster.
    """
    progress("looks at the kernel")
    ours, opened = look_microseconds()
    name, unit = "one look at everything: CPU", "us"
    yield figure(name, unit, ours, "opening each file", opened)
    fill = sample_microseconds()
    yield figure("one look at the fill: CPU", unit, fill, "one at everything", ours)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        progress("sudden fills")
        seen = fill_milliseconds(folder / "fill", 10)
        yield figure("sudden fill to seen", "ms", seen, "pause of passes", [5000])
        progress(f"alone for {seconds:.0f} s, without metrics and with")
        with agent(folder / "without") as pid:
            without = idle(pid, seconds)
        port = free_port()
        with agent(folder / "with", port) as pid:
            await_metric(port, "conntrack_agent_entries ")
            scraped = under_scrapes(pid, port, seconds)
    other = exporter(seconds)
    label = "the node exporter" if other else "without metrics"
    beside = other or without
    yield figure("agent with metrics: resident", "MiB", scraped[:1], label, beside[:1])
    name = "agent with metrics, scraped every second: CPU"
    yield figure(name, "ms", scraped[1:], label, beside[1:])
    name = "agent without metrics: resident"
    yield figure(name, "MiB", without[:1], label, beside[:1])


def edits(
    plane: ControlPlane, file: Path, rounds: int
) -> tuple[list[float], list[float]]:
    """
    Edit a policy again and again, and wait for the kernel each time.

    Args:
        plane: The control plane.
        file: The kernel's file.
        rounds: How often.

    Returns:
        Milliseconds from the start of ``kubectl apply`` to the new value in the
        kernel, and milliseconds of a ``kubectl apply`` that changes nothing.
    """
    applied, alone = [], []
    for index in range(rounds):
        wanted = 3600 + index % 2 + 2 * (index // 2)
        policy = manifest(wanted)
        began = time.perf_counter()
        plane.kubectl_run("apply", "-f", "-", input=policy)
        while file.read_text().strip() != str(wanted):
            if time.perf_counter() - began > DEADLINE:
                raise DemoFailed(f"{file} has not become {wanted} in {DEADLINE:.0f} s")
            time.sleep(0.001)
        applied.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        plane.kubectl_run("apply", "-f", "-", input=policy)
        alone.append((time.perf_counter() - began) * 1000)
    return applied, alone


def manifest(established: int) -> str:
    """
    Give a policy that sets one timeout everywhere.
    """
    return yaml.safe_dump(
        {
            "apiVersion": "conntrack.dev/v1alpha1",
            "kind": "ConntrackPolicy",
            "metadata": {"name": "bench"},
            "spec": {
                "nodeSelector": {},
                "timeouts": {"tcp": {"established": established}},
            },
        }
    )


@contextmanager
def stage() -> Iterator[tuple[ControlPlane, Member, int]]:
    """
    Start a control plane, the operator and one agent.

    Yields:
        The control plane, the node, and the agent's process id.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        plane = stack.enter_context(ControlPlane(controller_manager=True))
        guard = stack.enter_context(Guard()) if not hands_off(look()) else None
        watch = Watch(folder)
        stack.callback(watch.close)
        cast = Cast(plane, folder, watch, observe_seconds="5")
        stack.callback(cast.end)
        everybody = members(folder, observe_host=False)
        member = everybody[0] if guard else everybody[-1]
        plane.kubectl_run("apply", "-f", str(ROOT / "crds"))
        plane.kubectl_run("apply", "-f", str(ROOT / "dev/demo/rbac.yaml"))
        plane.kubectl_run("wait", "--for=condition=Established", "crd", "--all")
        plane.kubectl_run("apply", "-f", "-", input=member.manifest())
        cast.start_operator()
        agent = cast.start_agent(member)
        if guard:
            guard.writer(agent.pid)
        plane.kubectl_run("apply", "-f", "-", input=manifest(7200))
        plane.kubectl_run(
            *("wait", "--for=condition=Ready", "conntrackpolicy/bench"),
            "--timeout=60s",
        )
        yield plane, member, agent.pid


def progress(text: str) -> None:
    """
    Tell a person that something takes a while.
    """
    print(f"  {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
