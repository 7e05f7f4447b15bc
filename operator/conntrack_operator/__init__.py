"""
The cluster side: decide what every node should have, and tell people how it stands.

One pass follows the picture from left to right and back::

    policies ─► match ─► plan ─► writer ─► ConntrackNodes
    policy status ◄──────── aggregate ◄─── ConntrackNodes

The floors, from the ground up; a module imports from lower floors only::

    __main__                            start and stop
    handlers  reconcile                 the order of work
    policies  writer  brake             how fast, and how carefully
    decide                              match and plan, for all nodes
    match  plan  aggregate              decisions: pure functions
    cluster  informer                   the edge: the API server
    verdict  collection  own_writes     what these are made of
    transport                           HTTP
    rows  access  logs                  words, credentials, log lines
    pacing  config                      small tools
    errors
"""
