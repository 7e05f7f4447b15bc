"""
Timeouts as people write them: whole seconds, or a duration such as ``1h30m``.

The policy's nested ``timeouts`` become one flat mapping of kernel names to seconds,
by way of the `settings` table.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from conntrack_api.errors import Problem
from conntrack_api.settings import MAX_TIMEOUT_SECONDS, TIMEOUTS

ALLOWED: Final = (
    f"whole seconds from 1 to {MAX_TIMEOUT_SECONDS} without quotation marks, or a "
    "duration in hours, minutes and seconds such as 90s, 30m or 1h30m"
)
"""What a person is told, here and by the API server."""

MAX_TEXT: Final = 16
"""Most characters of a duration; none that makes sense comes near."""

_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)

Branch = Mapping[str, Any]
"""A level of ``timeouts``: field name to kernel name, or to the next level."""


def seconds(value: object) -> int | None:
    """
    Read one timeout.

    Args:
        value: A whole number of seconds, or a string such as ``1h30m``.

    Returns:
        Seconds within 1 and `MAX_TIMEOUT_SECONDS`; ``None`` for anything else.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = _DURATION.fullmatch(value) if len(value) <= MAX_TEXT else None
        parts = match.groups() if match else ()
        hours, minutes, rest = (int(part or 0) for part in parts or (0, 0, 0))
        value = hours * 3600 + minutes * 60 + rest
    if isinstance(value, int) and 1 <= value <= MAX_TIMEOUT_SECONDS:
        return value
    return None


def flatten(
    tree: object, path: str, problems: list[Problem], *, strict: bool
) -> dict[str, int]:
    """
    Turn the nested ``timeouts`` of a policy into kernel names and seconds.

    Args:
        tree: The value of ``spec.timeouts``.
        path: Its path, for problems.
        problems: Grows by one for each field that does not hold.
        strict: Whether an unknown field is a problem.

    Returns:
        Kernel name to seconds, in the table's order, of the fields that do hold. A
        field that is null counts as left out, as it does for the API server.
    """
    found: dict[str, int] = {}
    known = nested({each.name: each.name for each in TIMEOUTS})
    _collect(known, tree, path, found, problems, strict=strict)
    return {each.name: found[each.name] for each in TIMEOUTS if each.name in found}


def nested(flat: Mapping[str, int | str]) -> dict[str, Any]:
    """
    Undo `flatten`: kernel names and seconds become the policy's nested fields.
    """
    tree: dict[str, Any] = {}
    for each in TIMEOUTS:
        if each.name not in flat:
            continue
        group, _, leaf = each.field.removeprefix("timeouts.").rpartition(".")
        branch = tree.setdefault(group, {}) if group else tree
        branch[leaf] = flat[each.name]
    return tree


def _collect(
    known: Branch | str,
    value: object,
    path: str,
    found: dict[str, int],
    problems: list[Problem],
    *,
    strict: bool,
) -> None:
    """
    Read one field and all below it into `found`.
    """
    if isinstance(known, str):
        number = seconds(value)
        if number is None:
            problems.append(Problem(field=path, value=value, allowed=ALLOWED))
        else:
            found[known] = number
        return
    if not isinstance(value, Mapping):
        allowed = f"an object with any of {', '.join(known)}"
        problems.append(Problem(field=path, value=value, allowed=allowed))
        return
    for key, each in value.items():
        where = f"{path}.{key}"
        if key in known:
            if each is not None:
                _collect(known[key], each, where, found, problems, strict=strict)
        elif strict:
            allowed = f"one of the fields {', '.join(known)}"
            problems.append(Problem(field=where, value=each, allowed=allowed))
