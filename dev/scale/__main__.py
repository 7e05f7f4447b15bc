"""
``python -m scale``: a table of what the operator costs with thousands of nodes.
"""

import argparse
import asyncio
import os
import platform
import sys
import time

from control_plane import ControlPlaneError, ControlPlaneUnavailable
from demo.errors import DemoFailed
from scale.planner import plan_seconds
from scale.runs import Rows, converged, rollout
from scale.stage import stage

UNAVAILABLE = 3


def main() -> int:
    """
    Measure, print, and end with 0; 3 where there is no control plane to be had.
    """
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    add = parser.add_argument
    add("--nodes", type=int, nargs="*", default=[1000, 5000], help="with agents")
    add("--converged", type=int, default=15000, help="nodes without agents; 0: none")
    add("--policies", type=int, default=100, help="of the nodes without agents")
    chosen = parser.parse_args()
    try:
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
        planned = plan_seconds(15000, 100)
        show("planner alone", {key: f"{each:.2f} s" for key, each in planned.items()})
        for count in chosen.nodes:
            with stage() as on:
                show(f"{count} nodes, agents", asyncio.run(rollout(on, count)))
        if chosen.converged:
            with stage() as on:
                rows = asyncio.run(converged(on, chosen.converged, chosen.policies))
            title = f"{chosen.converged} nodes, {chosen.policies} policies, no agents"
            show(title, rows)
    except ControlPlaneUnavailable as error:
        print(f"scale: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (ControlPlaneError, DemoFailed) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 1
    return 0


def show(title: str, rows: Rows) -> None:
    """
    Print one part of the table.
    """
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"\n| {title} | |\n| --- | --- |")
    for key, value in rows.items():
        print(f"| {key} | {value} |")
    print(f"| load of the machine at {time.strftime('%H:%M')} | {load} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
