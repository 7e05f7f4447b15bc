"""
What can go wrong in the demonstration; the text is for the person at the terminal.
"""


class DemoFailed(Exception):
    """A step did not do what it must; everything is still put back."""
