"""
The chart's README: what its values are, from the comments in `values.yaml`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from generate.markdown import code, page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK = "# -- "

_NOTES = Path(__file__).with_name("chart_notes.md")
"""What the page ends with."""


def described(text: str) -> dict[str, str]:
    """
    Read the comments of a values file.

    Args:
        text: YAML, where a line that begins with ``# --`` describes the key below it.

    Returns:
        Dotted path of each described key to its description.
    """
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    said = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(_MARK):
            said = stripped.removeprefix(_MARK)
            continue
        key = re.match(r"^( *)([A-Za-z][\w-]*):", line)
        if key is None:
            continue
        indent = len(key.group(1))
        path = [each for each in path if each[0] < indent]
        path.append((indent, key.group(2)))
        if said:
            found[".".join(name for _, name in path)] = said
            said = ""
    return found


def at(values: Any, path: str) -> Any:  # noqa: ANN401 - any YAML value
    """
    Give the value at a dotted path.
    """
    for name in path.split("."):
        values = values[name]
    return values


def undescribed(values: Any, known: dict[str, str], path: str = "") -> Iterator[str]:  # noqa: ANN401
    """
    Name every value that has no description of its own, nor one above it.
    """
    if path in known:
        return
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from undescribed(value, known, f"{path}.{name}" if path else name)
    else:
        yield path


def chart_page(text: str, chart: dict[str, Any]) -> str:
    """
    Make the README.

    Args:
        text: ``values.yaml``.
        chart: ``Chart.yaml``.

    Raises:
        ValueError: A value has no description.
    """
    values, known = yaml.safe_load(text), described(text)
    missing = list(undescribed(values, known))
    if missing:
        raise ValueError(f"values.yaml does not describe {', '.join(missing)}")
    rows = [
        [code(path), code(_short(at(values, path))), said]
        for path, said in known.items()
    ]
    return page(
        f"# {chart['name']}",
        f"{chart['description']}. For Kubernetes 1.33 and newer, Helm 3.18 and newer.\n"
        "One cluster has one release of it.",
        "```console\n"
        "$ helm install conntrack charts/conntrack-operator \\\n"
        "    --namespace conntrack-system --create-namespace\n"
        "```",
        "## Values",
        table(["key", "default", "what it is"], rows),
        _NOTES.read_text().strip(),
    )


def _short(value: Any) -> str:  # noqa: ANN401
    """
    Write a value on one line, as YAML does.
    """
    if value == "":
        return '""'
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
