"""
The node side: makes one kernel as its ConntrackNode says, and reports.

Runs as root on every node, so it is small and imports little. The modules carry the
names of the stages::

    cluster -> journal -> observe -> diff -> apply -> report -> cluster

`kernel`, `cluster` and `journal` touch the world; the others compute.
"""

from typing import Final

VERSION: Final = "0.1.0"
"""Version of the agent, as reported in ``status.facts.agent``."""
