"""
``python -m scan``: run every checker over the chart and print what each says.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from control_plane import ControlPlaneError, ControlPlaneUnavailable
from programs import find_program
from scan.checkov import PARTS, checkov, part
from scan.conform import NEWEST, OLDEST, ROOT, conform, control_plane, write_schemas

CHART = ROOT / "charts" / "conntrack-operator"
HELMS = ("helm-3", "helm")
CAREFUL = (
    f"operator.image.digest=sha256:{'0' * 64}",
    f"agent.image.digest=sha256:{'0' * 64}",
    "operator.networkPolicy.enabled=true",
)
"""Values of somebody who scans: images by digest, and a network policy."""
UNAVAILABLE = 3

Done = subprocess.CompletedProcess[str]


def main() -> int:
    """
    Check.

    Returns:
        0 nothing was found but what is accepted; 1 something was; 3 a program cannot
        be had here.
    """
    parser = argparse.ArgumentParser(prog="scan", description=__doc__)
    parser.add_argument("--checkov", type=Path, help="the program; left out without")
    options = parser.parse_args()
    failed = False
    try:
        for title, done in checks(options.checkov):
            print(f"{title}: {done.stdout.strip().splitlines()[-1]}", flush=True)
            if done.returncode:
                print(done.stdout + done.stderr, flush=True)
            failed = failed or done.returncode != 0
    except ControlPlaneUnavailable as error:
        print(f"scan: {error}", file=sys.stderr)
        return UNAVAILABLE
    except ControlPlaneError as error:
        print(f"scan: {error}", file=sys.stderr)
        return 1
    return int(failed)


def checks(checkov_program: Path | None) -> Iterator[tuple[str, Done]]:
    """
    Run one checker after the other: its title, and what it said.
    """
    for name in HELMS:
        program = find_program(name)
        version = run(program, "version", "--short").stdout.strip()
        yield f"helm {version} lint --strict", run(program, "lint", "--strict", CHART)
    sets = [word for each in CAREFUL for word in ("--set", each)]
    helm = find_program("helm")
    rendered = run(helm, "template", "one", CHART, "-n", "system", *sets).stdout
    examples = [each.read_text() for each in sorted((ROOT / "examples").glob("*.yaml"))]
    for minor in (OLDEST, NEWEST):
        with tempfile.TemporaryDirectory() as folder, control_plane(minor) as plane:
            release = write_schemas(plane, Path(folder))
            done = conform("\n---\n".join([rendered, *examples]), Path(folder))
        yield f"kubeconform with the schemas of Kubernetes {release}", done
    if checkov_program is None:
        return
    for name in PARTS:
        found = checkov(checkov_program, part(rendered, name), name)
        yield f"checkov of the {name}'s objects", found


def run(program: Path, *arguments: str | Path) -> Done:
    """
    Run a program to its end.
    """
    return subprocess.run(
        [str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
