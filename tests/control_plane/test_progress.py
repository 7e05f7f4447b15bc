"""
What a person sees of a long build.
"""

from __future__ import annotations

import io

import pytest

from control_plane import Progress


class Clock:
    """
    A clock that is set by hand.
    """

    def __init__(self) -> None:
        """
        Start at any time.
        """
        self.now = 1000.0

    def __call__(self) -> float:
        """
        Tell the time.
        """
        return self.now


def test_a_log_gets_lines_for_the_start_the_end_and_the_long_middle() -> None:
    """
    Piped output never rewrites a line and is never silent for long.
    """
    stream, clock = io.StringIO(), Clock()

    with Progress(stream, clock=clock).step("etcd") as tick:
        for _ in range(70):
            clock.now += 1
            tick("k8s.io/api")

    assert stream.getvalue().splitlines() == [
        "  etcd: started",
        "  etcd: 30 s",
        "  etcd: 60 s",
        "  etcd: done in 70 s",
    ]


def test_a_terminal_gets_one_line_that_is_rewritten() -> None:
    """
    A live line shows the seconds and the detail, and gives way to the result.
    """
    stream, clock = io.StringIO(), Clock()

    with Progress(stream, live=True, clock=clock).step("etcd") as tick:
        clock.now += 5
        tick("k8s.io/api")

    *before, last = stream.getvalue().split("\r\x1b[2K")
    assert "  etcd  5 s  k8s.io/api" in before
    assert last == "  etcd: done in 5 s\n"


def test_a_live_line_fits_the_terminal() -> None:
    """
    A long detail is cut, since a wrapped line could not be rewritten.
    """
    stream = io.StringIO()

    with Progress(stream, live=True).step("etcd") as tick:
        tick("x" * 5000)

    assert max(len(line) for line in stream.getvalue().split("\r\x1b[2K")) < 1000


def test_a_failure_is_not_shown_as_done() -> None:
    """
    A step that raises ends as failed, and what it raised goes on.
    """
    stream = io.StringIO()

    with pytest.raises(ValueError, match="boom"), Progress(stream).step("etcd"):
        raise ValueError("boom")

    assert stream.getvalue().splitlines()[-1] == "  etcd: failed after 0 s"
