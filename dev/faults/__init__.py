"""
Faults: what becomes of a rollout when the operator, its watch or its API server fails.

``python -m faults`` prints a table. The API server, etcd and the operators are real;
the thirty agents are simulated.
"""
