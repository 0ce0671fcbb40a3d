"""The program that sends probes and answers them, in whatever network it is started: one file, the standard library.

It is run by itself (`python -I -S program.py listen|send`), with JSON on its standard input, so that the agent holds
none of it in memory. It sends nothing but what it is told: a connection that is closed at once, a datagram, a question
to a DNS server, an echo request.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import itertools
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

Asked = dict[str, Any]

IP_MTU_DISCOVER, IP_MTU, IPV6_MTU_DISCOVER, IPV6_MTU, PMTUDISC_DO = 10, 14, 23, 24, 2
SIOCGIFMTU = 0x8921
HEADERS_BYTES: dict[int, int] = {socket.AF_INET: 28, socket.AF_INET6: 48}
LEAST_BYTES, LARGEST_BYTES = 576, 65535
THREADS = 128
AGAIN_S = 0.5
ANSWER_BYTES = 4096
NUMBERS = itertools.count()
"""What one of our packets is told from another by."""


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET


def failure(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError):
        return "reset"
    return os.strerror(error.errno) if error.errno else str(error)


# Answering.


def listen(asked: Asked) -> None:
    """Tells every sender its own address, as it is seen here, until standard input ends."""
    signal.alarm(int(asked["for_s"]))
    streams: list[socket.socket] = []
    datagrams: list[socket.socket] = []
    for port in asked["tcp"]:
        one = socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
        streams.append(bound(one, port))
        streams[-1].listen(256)
    for port in asked["udp"]:
        one = socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.append(bound(one, port))
    ports = {"tcp": [one.getsockname()[1] for one in streams], "udp": [one.getsockname()[1] for one in datagrams]}
    print(json.dumps(ports), flush=True)
    while True:
        ready, _, _ = select.select([sys.stdin, *streams, *datagrams], [], [])
        if sys.stdin in ready:
            return
        with contextlib.suppress(OSError):
            for one in [each for each in streams if each in ready]:
                greet(one)
            for one in [each for each in datagrams if each in ready]:
                _, peer = one.recvfrom(65535)
                one.sendto(plain(peer), peer)


def bound(one: socket.socket, port: int) -> socket.socket:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind(("", port))
    return one


def greet(listening: socket.socket) -> None:
    connection, peer = listening.accept()
    with connection:
        connection.settimeout(1)
        connection.sendall(plain(peer))


def plain(peer: Any) -> bytes:
    return str(peer[0]).removeprefix("::ffff:").encode()


# Sending.


def send(asked: Asked) -> None:
    """Every probe at once, as far as threads go; one line for each result, as soon as it is there."""
    queue, turn = list(enumerate(asked["probes"])), threading.Lock()

    def work() -> None:
        while True:
            with turn:
                if not queue:
                    return
                number, probe = queue.pop(0)
            found = attempt(probe)
            with turn:
                print(json.dumps({"number": number, **found}), flush=True)

    threads = [threading.Thread(target=work) for _ in range(min(THREADS, len(queue)))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def attempt(probe: Asked) -> Asked:
    try:
        return {"ok": True, **WAYS[probe["kind"]](probe)}
    except OSError as error:
        return {"ok": False, "error": failure(error)}
    except ValueError as error:
        return {"ok": False, "error": str(error)}


def by_tcp(probe: Asked) -> Asked:
    """Somebody takes the connection. With `reads` it is one of ours, which says who it saw."""
    with socket.socket(family_of(probe["address"]), socket.SOCK_STREAM) as one:
        one.settimeout(probe["within_s"])
        one.connect((probe["address"], probe["port"]))
        return {"seen": one.recv(64).decode(errors="replace")} if probe.get("reads") else {}


def by_udp(probe: Asked) -> Asked:
    with socket.socket(family_of(probe["address"]), socket.SOCK_DGRAM) as one:
        return {"seen": exchange(one, b"navarch", probe).decode(errors="replace")}


def exchange(
    one: socket.socket, data: bytes, probe: Asked, wanted: Callable[[bytes], bool] = lambda answer: True
) -> bytes:
    """Sent again and again until the right answer comes. Raises: OSError."""
    one.connect((probe["address"], probe.get("port", 0)))
    end = time.monotonic() + probe["within_s"]
    problem: OSError = TimeoutError()
    while (left := end - time.monotonic()) > 0:
        one.settimeout(min(AGAIN_S, left))
        try:
            one.send(data)
            while True:
                answer = one.recv(ANSWER_BYTES)
                if wanted(answer):
                    return answer
        except TimeoutError:
            continue
        except ConnectionRefusedError as error:
            problem = error
            time.sleep(min(0.1, left))
    raise problem


def by_ping(probe: Asked) -> Asked:
    six = family_of(probe["address"]) == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    request, reply = (128, 129) if six else (8, 0)
    token = struct.pack("!II", os.getpid(), next(NUMBERS))
    head = struct.pack("!BBHHH", request, 0, 0, os.getpid() & 0xFFFF, 1)
    packet = head + token
    if not six:
        packet = head[:2] + struct.pack("!H", checksum(packet)) + head[4:] + token
    with socket.socket(family_of(probe["address"]), socket.SOCK_RAW, protocol) as one:
        exchange(one, packet, {**probe, "port": 0}, lambda data: token in data and data[0 if six else 20] == reply)
    return {}


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def by_dns(probe: Asked) -> Asked:
    number = struct.pack("!H", (os.getpid() + next(NUMBERS)) & 0xFFFF)
    labels = b"".join(bytes((len(each),)) + each.encode() for each in probe["name"].rstrip(".").split(".") if each)
    type_ = {"A": 1, "AAAA": 28, "SOA": 6}[probe["type"]]
    question = labels + b"\0" + struct.pack("!HH", type_, 1)
    data = number + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + question
    with socket.socket(family_of(probe["address"]), socket.SOCK_DGRAM) as one:
        answer = exchange(one, data, probe, lambda found: found[:2] == number and len(found) >= 12)
    return {"code": answer[3] & 15, "answers": addresses(answer, type_)}


def addresses(answer: bytes, type_: int) -> list[str]:
    """Those in the answer section, of the type that was asked for."""
    try:
        at = skip_name(answer, 12) + 4
        found = []
        for _ in range(struct.unpack_from("!H", answer, 6)[0]):
            at = skip_name(answer, at)
            kind, _, _, length = struct.unpack_from("!HHIH", answer, at)
            at += 10
            if kind == type_ and kind in (1, 28):
                found.append(str(ipaddress.ip_address(answer[at : at + length])))
            at += length
        return sorted(found)
    except (IndexError, struct.error, ValueError):
        return []


def skip_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def by_mtu(probe: Asked) -> Asked:
    """The largest packet that this pod's link takes, whole or not at all: it arrives, or the sender is told what would.

    If it is lost instead, the largest that is not.
    """
    whole = told = link_mtu_bytes(probe["device"])
    for _ in range(4):
        if passes(probe, told, probe["within_s"]):
            return {"bytes": whole, "most_bytes": told}
        if (next_ := path_mtu_bytes(probe)) >= told:
            break
        told = next_
    if not passes(probe, LEAST_BYTES, probe["within_s"]):
        raise TimeoutError
    low, high = LEAST_BYTES, whole
    while high - low > 16:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(probe, middle, 0.2) else (low, middle)
    return {"ok": False, "error": "too large", "bytes": whole, "most_bytes": low}


def link_mtu_bytes(device: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        found = fcntl.ioctl(one, SIOCGIFMTU, struct.pack("16si12x", device.encode(), 0))
    return min(LARGEST_BYTES, int(struct.unpack("16si12x", found)[1]))


def whole_only(probe: Asked) -> socket.socket:
    """Its packets are never cut."""
    family = family_of(probe["address"])
    one = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET:
        one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
    else:
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
    return one


def path_mtu_bytes(probe: Asked) -> int:
    """What this pod has been told of the way."""
    with whole_only(probe) as one:
        one.connect((probe["address"], probe["port"]))
        if one.family == socket.AF_INET:
            return one.getsockopt(socket.IPPROTO_IP, IP_MTU)
        return one.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)


def passes(probe: Asked, size_bytes: int, within_s: float) -> bool:
    with whole_only(probe) as one:
        try:
            exchange(one, bytes(size_bytes - HEADERS_BYTES[one.family]), {**probe, "within_s": within_s})
        except OSError:
            return False
        return True


WAYS = {"tcp": by_tcp, "udp": by_udp, "ping": by_ping, "dns": by_dns, "mtu": by_mtu}

if __name__ == "__main__":
    {"listen": listen, "send": send}[sys.argv[1]](json.loads(sys.stdin.readline()))
