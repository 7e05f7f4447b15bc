"""
Command line: build programs ahead, or pin other releases.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from control_plane.errors import ControlPlaneError, ControlPlaneUnavailable
from control_plane.pin import pin_kubernetes, pin_module
from control_plane.recipe import KUBERNETES
from control_plane.toolchain import find_go
from programs.catalogue import FAMILIES, PROGRAMS
from programs.find import find_program

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        arguments: Words of the command line; ``None`` means those of this process.

    Returns:
        Exit code: 0 done, 1 failed, 3 a program cannot be had here.
    """
    parser = argparse.ArgumentParser(prog="python -m programs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    build = commands.add_parser("build", help="build programs, print their paths")
    build.add_argument("names", nargs="+", choices=sorted(PROGRAMS))
    pin = commands.add_parser("pin", help="for maintainers: pin another release")
    pin.add_argument("family", choices=[family.name for family in FAMILIES])
    pin.add_argument("version", help="release tag, such as v4.3.1")
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            for name in options.names:
                print(find_program(name))
        else:
            _pin(options.family, options.version)
    except ControlPlaneUnavailable as error:
        print(error, file=sys.stderr)
        return EXIT_UNAVAILABLE
    except ControlPlaneError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    return 0


def _pin(name: str, version: str) -> None:
    family = next(each for each in FAMILIES if each.name == name)
    go = find_go(os.environ, oldest=())
    if family.module == KUBERNETES:
        pin_kubernetes(version, go.path, family.folder, family.packages)
    else:
        pin_module(family.module, version, go.path, family.folder, family.packages)


if __name__ == "__main__":
    sys.exit(main())
