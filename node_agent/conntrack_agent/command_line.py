"""
The flags, as ``--help`` shows them; what they may hold is checked by `config`.
"""

import argparse
from typing import Final

from conntrack_agent import VERSION

START: Final = 5.0
"""Seconds over which the first requests of agents that start together are spread."""


def parser() -> argparse.ArgumentParser:
    """
    Describe the flags, for parsing and for ``--help``.
    """
    parser = argparse.ArgumentParser(
        prog="conntrack-agent",
        description="Make this node's connection tracking table as its ConntrackNode "
        "says, and report how full it is.",
        epilog="Every flag can be given as an environment variable: --state-dir is "
        "CONNTRACK_AGENT_STATE_DIR. The flag wins.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    add = parser.add_argument
    add("--node", metavar="NAME", help="name of this node (required)")
    add("--server", metavar="URL", help="API server; default: the pod's environment")
    add("--ca-file", metavar="FILE", help="CA bundle; default: the pod's")
    add("--token-file", metavar="FILE", help="bearer token; default: the pod's")
    add("--host-root", metavar="DIR", help="holds the host's proc and sys; default: /")
    add("--sysctl-net", metavar="DIR", help="the host's /proc/sys/net, if elsewhere")
    add("--sys-module", metavar="DIR", help="the host's /sys/module, if elsewhere")
    add(
        "--host-files",
        metavar="DIR",
        help="holds the host's etc, run and usr, read to name who else sets a value; "
        "default: not read",
    )
    add(
        "--state-dir",
        metavar="DIR",
        help="journal directory; default: /var/lib/conntrack-operator",
    )
    add("--observe-seconds", metavar="N", help="pause between two looks; default: 5")
    add(
        "--start-seconds",
        metavar="N",
        help="wait for up to so long before the first request to the API server, so "
        f"that agents which start together do not ask together; default: {START:.0f}",
    )
    add("--log-format", metavar="json|text", help="default: json")
    add(
        "--kernel-log",
        metavar="read|off",
        help="read the kernel's log for a hint when packets may have been dropped; "
        "needs the capability SYSLOG; default: off",
    )
    add(
        "--metrics-address",
        metavar="HOST:PORT",
        help="serve Prometheus metrics there, to anybody who can reach it; default: no",
    )
    return parser
