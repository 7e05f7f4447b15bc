"""
The command line: ``python -m kernels setup | list | run | capture``.

Ends with 0 when all went well, with the script's own status after ``run``, with 1
when something failed, and with 3 when this machine lacks what is needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kernels import machine
from kernels.capture import capture
from kernels.catalogue import KERNELS
from kernels.emulator import DEFAULT_GUEST, Guest, boot
from kernels.errors import KernelsError, KernelsUnavailable

FAILED = 1
UNAVAILABLE = 3


def main() -> int:
    """
    Do what the arguments say.

    Returns:
        The status to end with.
    """
    arguments = _parser().parse_args()
    try:
        return int(arguments.action(arguments))
    except KernelsError as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE if isinstance(error, KernelsUnavailable) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kernels", description="Emulated kernels.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    action = actions.add_parser("setup", help="install what this machine lacks (root)")
    action.set_defaults(action=_setup)

    action = actions.add_parser("list", help="name the kernels that can be booted")
    action.set_defaults(action=_list)

    action = actions.add_parser("run", help="boot a kernel, run a shell script in it")
    action.add_argument("kernel", choices=KERNELS)
    action.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="GUEST=HOST",
        help="copy a file or a folder into the guest; may be repeated",
    )
    action.add_argument(
        "--modules",
        default=" ".join(DEFAULT_GUEST.modules),
        help="kernel modules to load first (default: %(default)s)",
    )
    action.add_argument(
        "--memory", type=int, default=DEFAULT_GUEST.memory_mib, metavar="MIB"
    )
    action.add_argument("--cpus", type=int, default=DEFAULT_GUEST.cpus)
    action.add_argument(
        "--timeout", type=float, default=DEFAULT_GUEST.timeout, metavar="SECONDS"
    )
    action.add_argument(
        "script", nargs="+", help="words of the script, after `--`; or - to read it"
    )
    action.set_defaults(action=_run)

    action = actions.add_parser("capture", help="copy a kernel's files into a folder")
    action.add_argument("kernel", choices=KERNELS)
    action.add_argument("destination", type=Path)
    action.set_defaults(action=_capture)
    return parser


def _setup(_: argparse.Namespace) -> int:
    installed = machine.setup()
    print("Installed: " + ", ".join(installed) if installed else "Nothing was missing.")
    return 0


def _list(_: argparse.Namespace) -> int:
    for kernel in KERNELS.values():
        print(f"{kernel.name}\tsuite {kernel.suite}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    files = dict(pair.split("=", 1) for pair in arguments.file)
    words = arguments.script
    result = boot(
        KERNELS[arguments.kernel],
        sys.stdin.read() if words == ["-"] else " ".join(words),
        {inside: Path(outside) for inside, outside in files.items()},
        Guest(
            memory_mib=arguments.memory,
            cpus=arguments.cpus,
            modules=arguments.modules.split(),
            timeout=arguments.timeout,
        ),
    )
    sys.stdout.write(result.output)
    print(f"Linux {arguments.kernel}: {result.seconds:.1f} s", file=sys.stderr)
    return result.status


def _capture(arguments: argparse.Namespace) -> int:
    result = capture(KERNELS[arguments.kernel], arguments.destination)
    print(f"{arguments.destination}: captured in {result.seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
