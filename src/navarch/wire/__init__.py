"""Bytes on the wire: HTTP, WebSocket and SPDY framing, CRI stubs. Knows nothing of Kubernetes' objects."""
