"""
The cluster side: decide what every node should have, and tell people how it stands.

One pass follows the picture from left to right and back::

    policies ─► match ─► plan ─► rollout ─► writer ─► ConntrackNodes
    policy status ◄────────────── aggregate ◄──────── ConntrackNodes

The floors, from the ground up; a module imports from lower floors only::

    __main__                            start and stop
    handlers  metrics  reconcile        the order of work
    policies  writer  brake  lease      how fast, how carefully, and whether at all
    cluster  informer  recorder         the edge: the API server
    aggregate  verdict  events          decisions on what the nodes answered
    rollout  decide                     whose turn it is; match and plan for all nodes
    match  plan  standing  sizing       decisions: pure functions
    transport  rows  access  logs       HTTP, words, credentials, log lines
    pacing  config                      small tools
    errors
"""

from typing import Final

VERSION: Final = "0.1.0"
"""That of the distribution."""
