"""
What can go wrong with an image; the text is for the person at the terminal.
"""


class ImageUnavailable(Exception):
    """This machine cannot build images; says what is missing."""


class ImageFailed(Exception):
    """A build failed; with what it said."""
