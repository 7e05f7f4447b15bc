"""
A real one-node cluster on this machine, in its first network namespace.

kubelet, containerd and runc run in process and mount namespaces of their own: when the
one process that we started is gone, all of it is gone. What it leaves outside of those,
two addresses, a bridge and control groups, a janitor removes, also when we are killed.
"""
