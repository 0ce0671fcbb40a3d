"""A client hears within seconds that its server is out of reach, although a watch has nothing to send."""

from __future__ import annotations

import socket

from navarch.client import http


def test_the_kernel_minds_connections_to_a_server_on_another_machine() -> None:
    with http._watchful((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 6443))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle_s = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        probes = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        assert idle_s + probes * made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == http.GIVEN_UP_S
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == http.GIVEN_UP_S * 1000
