"""
Command line: write the generated pages, or compare them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from generate.api_page import api_page
from generate.chart_crds import chart_crd
from generate.chart_page import chart_page
from generate.chart_schema import chart_schema
from generate.kernels_page import kernels_page
from generate.settings_page import settings_page
from generate.sizing_page import sizing_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "conntrack-operator"
CRDS = ("conntrackpolicies.yaml", "conntracknodes.yaml")

EXIT_OUTDATED = 1


def pages() -> dict[Path, str]:
    """
    Give every generated page: file to text.
    """
    texts = {name: (ROOT / "crds" / name).read_text() for name in CRDS}
    crds = [yaml.safe_load(text) for text in texts.values()]
    values = (CHART / "values.yaml").read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return {
        **{
            CHART / "templates" / "crds" / name: chart_crd(text)
            for name, text in texts.items()
        },
        CHART / "README.md": chart_page(values, chart),
        CHART / "values.schema.json": chart_schema(values),
        ROOT / "docs" / "settings.md": settings_page(),
        ROOT / "docs" / "sizing.md": sizing_page(),
        ROOT / "docs" / "kernels.md": kernels_page(),
        ROOT / "docs" / "api.md": api_page(crds),
    }


def main(
    arguments: Sequence[str] | None = None,
    *,
    pages: Callable[[], Mapping[Path, str]] = pages,
    root: Path = ROOT,
) -> int:
    """
    Write the pages, or compare them.

    Args:
        arguments: Words of the command line; ``None`` means those of this process.
        pages: Gives what should be: file to text.
        root: What the names of files are told from.

    Returns:
        Exit code: 0 written, or up to date; 1 a page is not.
    """
    parser = argparse.ArgumentParser(prog="python -m generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail on a difference"
    )
    check = parser.parse_args(arguments).check
    outdated = 0
    for path, text in pages().items():
        if path.exists() and path.read_text() == text:
            continue
        if check:
            name = path.relative_to(root)
            print(f"{name} is out of date; run: make fmt", file=sys.stderr)
            outdated = EXIT_OUTDATED
        else:
            path.write_text(text)
    return outdated


if __name__ == "__main__":
    sys.exit(main())
