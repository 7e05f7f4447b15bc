"""
Scale: what the operator costs, and how fast it is, with thousands of nodes.

``python -m scale`` prints a table. The API server and etcd are real, and so are the
agents' client, loop and stages; only their kernels are in memory.
"""
