"""
Why there is no real node; the text is for the person at the terminal.
"""


class NodeUnavailable(Exception):
    """This machine cannot be a node; says what is missing."""


class NodeFailed(Exception):
    """It could, and did not get ready; with the end of its logs."""
