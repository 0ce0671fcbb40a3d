"""Pods that the node runs by itself, from files, and what the API server is shown of them."""
