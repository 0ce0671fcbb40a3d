"""Pods whose containers are processes of the host itself: see `docs/design/0024-host-processes.md`."""
