"""Errors, time, tasks, back-off, metrics, logs and keys: knows nothing of clusters."""
