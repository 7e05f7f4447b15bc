"""
One version, wherever it is written.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path


def test_every_version_is_that_of_the_distribution(root: Path) -> None:
    """
    What a process reports about itself is what was released.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    written = {
        str(path.relative_to(root)): found
        for folder in ("operator", "node_agent")
        for path in sorted((root / folder).rglob("*.py"))
        for found in re.findall(r'(?m)^VERSION\b[^=]*= "(.*)"', path.read_text())
    }
    for path in sorted(root.glob("charts/*/Chart.yaml")):
        chart = yaml.safe_load(path.read_text())
        written[f"{path.relative_to(root)} version"] = chart["version"]
        written[f"{path.relative_to(root)} appVersion"] = chart["appVersion"]

    assert "node_agent/conntrack_agent/__init__.py" in written
    assert dict.fromkeys(written, project["version"]) == written
