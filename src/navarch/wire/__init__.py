"""Bytes on the wire: HTTP, WebSocket and SPDY framing, protobuf bodies, CRI. Knows no kind."""
