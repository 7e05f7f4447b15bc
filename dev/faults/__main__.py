"""
``python -m faults``: let things go wrong in the middle of rollouts; print a table.
"""

import argparse
import asyncio
import sys
import tempfile
from itertools import product
from pathlib import Path

from control_plane import ControlPlane, ControlPlaneError, ControlPlaneUnavailable
from demo.errors import DemoFailed
from faults import daemons
from faults.house import NODES, House, house
from faults.kills import MOMENTS, Outcome, boundaries, rollout, wrong
from faults.scenarios import EXPECTED, play, unexpected
from faults.stage import BUDGET, stage

UNAVAILABLE = 3
KINDS = ("node", "policy", "event", "agents")


def main() -> int:
    """
    Run, print, and end with 0; 1 when anything was not as without a fault.
    """
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument(
        "--every", type=int, default=1, help="kill at each so manieth write; default: 1"
    )
    chosen = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="faults-") as folder,
            ControlPlane() as plane,
            house(plane, Path(folder)) as of,
        ):
            return asyncio.run(run(of, chosen.every))
    except ControlPlaneUnavailable as error:
        print(f"faults: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (ControlPlaneError, DemoFailed) as error:
        print(f"faults: {error}", file=sys.stderr)
        return 1


async def run(of: House, every: int) -> int:
    """
    Play the scenarios, then kill the operator at the writes of rollouts.
    """
    print(f"{NODES} nodes, at most {BUDGET} changing at one instant\n")
    print(f"| fault | specs | changing | sent: {', '.join(KINDS)} | end | |")
    print("| --- | --- | --- | --- | --- | --- |")
    failed = 0
    for scenario in EXPECTED:
        async with stage(of) as on:
            outcome = await play(on, scenario)
        failed += show(outcome, unexpected(scenario, outcome))
    async with stage(of) as on:
        await on.start_operator()
        plain = await rollout(on)
        failed += show(plain, wrong(plain))
        for number, moment in boundaries(sum(plain.sent.values()), every):
            outcome = await rollout(on, number, moment)
            failed += show(outcome, wrong(outcome))
    for verb, moment in product(daemons.WRITES, MOMENTS):
        async with stage(of) as on:
            await daemons.prepare(on)
            outcome = await daemons.killed(on, verb, moment)
        failed += show(outcome, daemons.wrong(verb, moment, outcome))
    return 1 if failed else 0


def show(outcome: Outcome, problem: str) -> bool:
    """
    Print one line of the table; tell whether there is a problem.
    """
    sent = ", ".join(str(outcome.sent[kind]) for kind in KINDS)
    cells = (
        *(outcome.fault, outcome.told, outcome.most, sent, outcome.end),
        problem.upper() or "as it should",
    )
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return bool(problem)


if __name__ == "__main__":
    sys.exit(main())
