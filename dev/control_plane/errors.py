"""
What can go wrong with a control plane, by what the reader can do about it.

    ControlPlaneError               anything below, for one `except`
    ├── ControlPlaneUnavailable     this machine cannot have one; says what is missing
    └── ControlPlaneFailed          there was one, and it did not do what it must

Every text is written for a person at a terminal: the command line prints it as it
is, without a traceback.
"""

from __future__ import annotations


class ControlPlaneError(Exception):
    """
    Any failure of this package.
    """


class ControlPlaneUnavailable(ControlPlaneError):
    """
    No programs to start: none given, none cached, and none can be built.

    A test suite may skip on this one. The text names what is missing.
    """


class ControlPlaneFailed(ControlPlaneError):
    """
    A program of the control plane died, never got ready, or refused a command.
    """
