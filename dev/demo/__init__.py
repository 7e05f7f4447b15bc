"""
The main job on one machine: a policy changes this host's kernel, for real.

``python -m demo`` starts a control plane, the operator, an agent on this host and
three agents on captured kernels of other ages; then it lives through an evening at
the limit. What it changes on the host is put back, however it ends.
"""
