"""
What can go wrong with an emulated kernel, by what the reader can do about it.

    KernelsError                anything below, for one `except`
    ├── KernelsUnavailable      this machine cannot boot one; says what is missing
    └── KernelsFailed           a tool refused, or a guest never got to its script

Every text is written for a person at a terminal: the command line prints it as it
is, without a traceback. A script that ran and ended badly is no error, but a
`BootResult` that is not `ok`.
"""

from __future__ import annotations


class KernelsError(Exception):
    """
    Any failure of this package.
    """


class KernelsUnavailable(KernelsError):
    """
    The machine lacks a program, a package source, or the right architecture.

    A test suite may skip on this one. The text names what is missing.
    """


class KernelsFailed(KernelsError):
    """
    Everything is there, and a step did not do what it must.
    """
