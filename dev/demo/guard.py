"""
Put this host's values back, whatever happens to the demonstration.

Runs as a program of its own, see `heir`: it reads the values found as one line of JSON,
then the id of each process that may still write them. These it kills first.
"""

import json
import sys

from conntrack_agent.apply import apply
from conntrack_agent.diff import revert
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observe import observe
from demo.flows import untrack
from demo.heir import end_all, inherit


def main() -> int:
    """
    Wait for the end of the input, then restore.

    Returns:
        0 when the kernel shows the values found, else 1.
    """
    inherit()
    found: dict[str, int] = json.loads(sys.stdin.readline())
    end_all(sys.stdin)
    untrack()
    kernel = LinuxKernel()
    outcomes = apply(revert(found, observe(kernel)).changes, kernel)
    left = revert(found, observe(kernel))
    for outcome in outcomes:
        if outcome.failure:
            print(f"not put back: {outcome.failure.message}", file=sys.stderr)
    return 1 if left.changes or left.refusals else 0


if __name__ == "__main__":
    sys.exit(main())
