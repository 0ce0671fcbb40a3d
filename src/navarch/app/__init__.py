"""Wiring: the one place that builds concrete things and decides which organs share a process."""
