"""
The story that the demonstration tells, act by act.

It is the first of the product's incidents: a busy server at its evening peak. The
table fills, the fill is seen before anything is dropped, one edit ends it.
"""

from typing import Final

from demo.cast import Member
from demo.flows import open_flows, tracking
from demo.terminal import Terminal

FILL_PERCENT: Final = 85
"""How full the table gets; the policy warns at 80."""

SMALL: Final = 65536
"""``maxEntries`` of the first policy."""

SHOW_KERNEL: Final = (
    "cd /proc/sys/net/netfilter && grep . nf_conntrack_max nf_conntrack_buckets "
    "nf_conntrack_tcp_timeout_established nf_conntrack_count"
)
READY: Final = (
    "kubectl wait --for=condition=Ready conntrackpolicy/cluster-default --timeout=30s"
)


def first_policy(terminal: Terminal, host: Member, refused: str) -> None:
    """
    Apply a policy and watch it arrive in every kernel.

    Args:
        terminal: Where it is shown.
        host: This machine's node.
        refused: Why the host is only observed; empty when it is changed.
    """
    terminal.say("The kernel of this host before:")
    terminal.run(SHOW_KERNEL)
    if refused:
        terminal.say(f"This host is only observed: {refused}.")
        terminal.run("cat examples/observe.yaml")
        terminal.run("kubectl apply -f examples/observe.yaml")
    terminal.say("One policy for every node:")
    terminal.run("cat examples/cluster-default.yaml")
    terminal.run("kubectl apply -f examples/cluster-default.yaml")
    terminal.run(READY)
    terminal.say("The kernel of this host after:")
    terminal.run(SHOW_KERNEL)
    terminal.say("The whole cluster at a glance:")
    terminal.run("kubectl get conntrack")
    terminal.run("kubectl get conntracknodes -o wide")
    if refused:
        terminal.run(f"kubectl describe conntracknode {host.name}")


def evening_peak(terminal: Terminal, host: Member) -> None:
    """
    Fill the host's table with real flows, and see it coming.

    Args:
        terminal: Where it is shown.
        host: This machine's node.
    """
    number = SMALL * FILL_PERCENT // 100
    terminal.say(f"The evening peak: {number} real UDP flows over loopback.")
    with tracking() as target:
        open_flows(number, target)
        terminal.run(
            "kubectl wait --for=condition=ConntrackPressure "
            f"conntracknode/{host.name} --timeout=30s"
        )
        terminal.run("kubectl get conntracknodes")
        terminal.run(
            f"kubectl get conntracknode {host.name} -o jsonpath="
            """'{.status.conditions[?(@.type=="ConntrackPressure")].message}{"\\n"}'"""
        )
        bigger_table(terminal)
        terminal.run(
            "kubectl wait --for=condition=ConntrackPressure=False "
            f"conntracknode/{host.name} --timeout=30s"
        )
        terminal.say("No flow was dropped, and there is room again:")
        terminal.run(SHOW_KERNEL)
        terminal.run("kubectl get conntrack")


def bigger_table(terminal: Terminal) -> None:
    """
    Edit the policy and watch the change arrive.
    """
    terminal.say("The policy is edited:")
    terminal.run(
        "diff examples/cluster-default.yaml examples/evening-peak.yaml || true"
    )
    terminal.run("kubectl apply -f examples/evening-peak.yaml")
    terminal.run(READY)
