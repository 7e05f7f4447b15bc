"""
The contract between people, the operator and the node agents.

What a person asks is a ``ConntrackPolicy``; what one node is told, and what it
answers, is a ``ConntrackNode``::

    policy.spec -> operator -> node.spec -> agent -> kernel
    policy.status <- operator <- node.status <- agent <-

The API server enforces the YAML files next to this package; the modules here are
their Python twin. Nothing here does any I/O.
"""

from typing import Final

GROUP: Final = "conntrack.dev"
"""API group of both kinds."""

VERSION: Final = "v1alpha1"
"""The one served and stored version."""

API_VERSION: Final = f"{GROUP}/{VERSION}"
"""``apiVersion`` of every object of this group."""
