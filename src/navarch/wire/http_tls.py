"""TLS for the HTTP server, in memory: ciphertext in, plaintext out, no transport of its own.

Source: https://docs.python.org/3/library/ssl.html#memory-bio-support
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

READ_BYTES = 16_384
"""What a record holds at most; more is never read at once, and room for it would be asked of the system each time."""


class ServerTls:
    """One connection's TLS. What is to be sent to the peer collects in `outgoing`; the caller empties it."""

    __slots__ = ("_incoming", "_object", "ended", "outgoing", "ready")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self.outgoing, server_side=True)
        self.ready = False
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext and return what it held, b"" while nothing is complete. `ended` says that the peer closed.

        Raises:
            ssl.SSLError: the peer speaks no TLS, or shows a certificate that is not accepted.
        """
        incoming, tls = self._incoming, self._object
        incoming.write(data)
        plain = b""
        try:
            if not self.ready:
                tls.do_handshake()
                self.ready = True
            # Asking once more than needed would cost an exception a request.
            while incoming.pending or tls.pending():
                chunk = tls.read(READ_BYTES)
                if not chunk:
                    self.ended = True
                    break
                plain = plain + chunk if plain else chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return plain

    def seal(self, data: bytes) -> bytes:
        """The ciphertext to send, with whatever else is due."""
        tls = self._object
        sent = tls.write(data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(data):
                sent += tls.write(view[sent:])
        return self.outgoing.read()

    def farewell(self) -> bytes:
        """The close notice; b"" when there is no session to close."""
        if self.ready:
            with contextlib.suppress(ssl.SSLError):  # raised because the peer's own notice is not waited for
                self._object.unwrap()
        return self.outgoing.read()

    def subject(self) -> tuple[str, tuple[str, ...], bytes]:
        """Common name, organizations and DER of the peer's certificate; empty without one."""
        der = self._object.getpeercert(binary_form=True)
        if not der:
            return "", (), b""
        found: dict[str, Any] = self._object.getpeercert() or {}
        pairs = [pair for relative in found.get("subject", ()) for pair in relative]
        names = [value for key, value in pairs if key == "commonName"]
        organizations = tuple(value for key, value in pairs if key == "organizationName")
        return (names[0] if names else ""), organizations, der
