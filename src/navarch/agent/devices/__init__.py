"""Devices of a node that plugins offer: who has which, and what a container gets with them."""
