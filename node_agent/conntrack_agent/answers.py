"""
What the API server's answers mean: bytes and status codes to objects and errors.

The one place that knows codes; `cluster` sends, and the rest sees only `errors`.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from conntrack_agent.errors import (
    ClusterError,
    Expired,
    Invalid,
    NotFound,
    Overloaded,
    Refused,
    Unavailable,
    Unreachable,
)
from conntrack_api.codec import node_from_object
from conntrack_api.errors import InvalidObject
from conntrack_api.node import ConntrackNode

MAX_OBJECT: Final = 1 << 20
"""No object of ours is larger; what is, is not read."""

LONGEST_WAIT: Final = 3600.0
"""Seconds; a server that asks for more has not meant us."""

_ERRORS: Final[dict[int, type[ClusterError]]] = {
    400: Invalid,
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Invalid,
    410: Expired,
    422: Invalid,
}


def lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """
    Cut a stream into lines as they come; half a line at the end is dropped.

    Raises:
        Unavailable: The stream broke, went silent, or holds an endless line.
    """
    rest = b""
    try:
        while chunk := response.read1(65536):
            *complete, rest = (rest + chunk).split(b"\n")
            yield from complete
            if len(rest) > MAX_OBJECT:
                raise Unavailable(f"watch: a line of more than {MAX_OBJECT} bytes")
    except ReadTimeoutError as error:
        raise Unreachable("watch: the server has been silent for too long") from error
    except HTTPError as error:
        raise Unreachable(f"watch: {error}") from error


def body(response: urllib3.BaseHTTPResponse) -> bytes:
    """
    Read an answer that has an end, and give its connection back.

    Raises:
        Unavailable: It broke off, or is longer than anything of ours can be.
    """
    try:
        content = response.read(MAX_OBJECT + 1)
    except HTTPError as error:
        response.close()
        raise Unreachable(f"broken answer: {error}") from error
    if len(content) > MAX_OBJECT:
        response.close()
        raise Unavailable(f"broken answer: more than {MAX_OBJECT} bytes")
    response.release_conn()
    return content


def parse(text: bytes) -> dict[str, Any]:
    """
    Parse one object.

    Raises:
        Unavailable: It is anything else; then the stream is broken.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"broken answer: {error}") from error
    return part(value)


def part(value: object) -> dict[str, Any]:
    """
    Take a value that must be an object.

    Raises:
        Unavailable: It is not.
    """
    if not isinstance(value, dict):
        raise Unavailable("broken answer: not an object")
    return value


def node(obj: dict[str, Any], name: str) -> ConntrackNode:
    """
    Decode our object; one that does not hold is refused as a whole.

    Args:
        obj: What the server gave.
        name: Whose object was asked for.

    Raises:
        Unavailable: It lacks what every object in an API server has, or is another's.
        Invalid: Its spec does not hold.
    """
    meta = part(obj.get("metadata"))
    uid, generation = meta.get("uid"), meta.get("generation")
    if not (isinstance(uid, str) and uid and isinstance(generation, int)):
        raise Unavailable("broken answer: an object without UID or generation")
    if meta.get("name") != name:
        raise Unavailable(f"broken answer: the object of {meta.get('name')!r}")
    try:
        return node_from_object(obj)
    except InvalidObject as error:
        raise Invalid(f"ConntrackNode: {error}") from error


def failure(
    code: object, message: str, retry_after: float | None = None
) -> ClusterError:
    """
    Name an answer by its code.

    Args:
        code: Of the HTTP response, or of a ``Status`` within a stream.
        message: What the server said.
        retry_after: Seconds, if it said any.

    Returns:
        What is to be raised.
    """
    text = f"{code}: {message}"
    if code == 429:  # noqa: PLR2004 - HTTP: too many requests
        return Overloaded(text, retry_after)
    if isinstance(code, int) and (kind := _ERRORS.get(code)):
        return kind(text)
    return Unavailable(text, retry_after)


def message_of(content: bytes) -> str:
    """
    Take the sentence out of a ``Status``, or the text as it is; at most 512 characters.
    """
    try:
        return str(json.loads(content)["message"])[:512]
    except (ValueError, KeyError, TypeError, RecursionError):
        return content[:200].decode("utf-8", "replace").strip()


def seconds_of(retry_after: str | None) -> float | None:
    """
    Read whole seconds; a date, a negative or an absurd number counts as none.
    """
    if retry_after and retry_after.isascii() and retry_after.isdecimal():
        seconds = float(retry_after)
        return seconds if seconds <= LONGEST_WAIT else None
    return None
