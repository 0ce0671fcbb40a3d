"""Pods whose containers are processes of the host itself: see `docs/design/0020-host-processes.md`."""
