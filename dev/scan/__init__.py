"""
What well-known checkers say about the chart: helm's linter, kubeconform, checkov.

kubeconform takes its schemas from real API servers of the oldest and the newest
Kubernetes that is supported, so it needs no internet and knows our own kinds.
"""
