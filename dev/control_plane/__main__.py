"""
Command line: build the programs ahead, run a control plane, pin another version.

Reads the arguments and prints; the work is done elsewhere.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from control_plane.binaries import find_binaries
from control_plane.errors import ControlPlaneError, ControlPlaneUnavailable
from control_plane.pin import pin_etcd, pin_kubernetes
from control_plane.pinned import numbers
from control_plane.recipe import MODULES, VARIABLE, minors
from control_plane.server import ControlPlane
from control_plane.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 3
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        arguments:
            Words of the command line; ``None`` means those of this process.

    Returns:
        Exit code: 0 done, 1 failed, 3 no control plane can be had here, 130
        interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "build":
            _build()
        elif options.command == "run":
            _run(controller_manager=options.controller_manager)
        else:
            _pin(options.what, options.version)
    except ControlPlaneUnavailable as error:
        print(error, file=sys.stderr)
        return EXIT_UNAVAILABLE
    except ControlPlaneError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m control_plane",
        description="A real Kubernetes control plane on this machine.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "environment:\n"
            f"  {VARIABLE}  which Kubernetes: {', '.join(minors())} (the last one\n"
            "                        if unset)\n"
            "  KUBEBUILDER_ASSETS    folder with etcd, kube-apiserver and kubectl to\n"
            "                        use instead of building\n"
            "  CONNTRACK_CACHE       where built programs are kept\n"
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser(
        "build", help="build the programs if they are not there, print their folder"
    )
    run = commands.add_parser("run", help="run one until Ctrl-C")
    run.add_argument(
        "--controller-manager",
        action="store_true",
        help="run controllers too: daemon sets get pods, and so on",
    )
    pin = commands.add_parser("pin", help="for maintainers: pin another version")
    pin.add_argument("what", choices=["kubernetes", "etcd"])
    pin.add_argument("version", help="release tag, such as v1.37.1")
    return parser


def _build() -> None:
    print(find_binaries().folder)


def _run(*, controller_manager: bool) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    with ControlPlane(controller_manager=controller_manager) as plane:
        print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
        print(
            f"Kubernetes {plane.version} at {plane.url}; kubectl is {plane.kubectl}."
            " Ctrl-C ends it.",
            file=sys.stderr,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("Stopping.", file=sys.stderr)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _pin(what: str, version: str) -> None:
    go = find_go(os.environ, oldest=())
    if what == "etcd":
        pin_etcd(version, go.path, MODULES / "etcd")
        return
    minor = ".".join(str(number) for number in numbers(version)[:2])
    pin_kubernetes(version, go.path, MODULES / f"kubernetes-{minor}")


if __name__ == "__main__":
    sys.exit(main())
