"""
Benchmarks: what the agent costs, and how fast an edit arrives in a kernel.

``python -m bench`` prints a table, ``--json`` the same for machines. Every figure
stands beside a baseline that was measured in the same run.
"""
