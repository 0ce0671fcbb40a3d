"""Limits of what an interface carries, made to hold from the first megabyte on.

The `bandwidth` plugin sets a bucket (tbf) at the rate that a pod's annotations say. Runtimes ask it for the largest
bucket that can be written down, 4 Gbit, so that hundreds of megabytes would pass before anything is held back, and as
many could wait in its queue. Here a bucket that is there already is given the size that its rate needs.

Source: tc-tbf(8), linux/pkt_sched.h
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from navarch.base.errors import Retryable
from navarch.net import messages as nl

RTM_NEWQDISC, RTM_GETQDISC = 36, 38
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TC_H_ROOT = 0xFFFFFFFF
ETHERNET = 1
"""A link layer whose packets are as long as they say; for others the kernel wants tables."""
QDISC = struct.Struct("=BxxxiIII")
RATE = struct.Struct("=BBHhHI")
PARMS = struct.Struct(f"={RATE.size}s{RATE.size}sIII")
MOST = 0xFFFFFFFF

BURST_S, LEAST_BURST_BYTES = 0.1, 64 << 10
"""At least one packet as the stack hands it down before it is cut."""
QUEUE_S, LEAST_QUEUE_BYTES = 0.1, 128 << 10


class Bucket(NamedTuple):
    """On an interface of this number. handle: by which the kernel knows it."""

    interface: int
    handle: int
    rate_bytes_s: int
    queue_bytes: int


def fit(devices: Collection[str]) -> None:
    """Gives the buckets of these interfaces, where they have one, a size that fits. Raises: Retryable."""
    numbers = {number for name in devices if (number := _number(name))}
    try:
        with nl.Conversation() as talk:
            for bucket in list(_buckets(talk)):
                if bucket.interface in numbers and bucket.queue_bytes != queue_bytes(bucket.rate_bytes_s):
                    _resize(talk, bucket)
    except OSError as error:
        raise Retryable(f"the kernel does not limit {', '.join(devices)}: {os.strerror(error.errno or 0)}") from error


def burst_bytes(rate_bytes_s: int) -> int:
    return min(MOST, max(LEAST_BURST_BYTES, int(rate_bytes_s * BURST_S)))


def queue_bytes(rate_bytes_s: int) -> int:
    return min(MOST, burst_bytes(rate_bytes_s) + max(LEAST_QUEUE_BYTES, int(rate_bytes_s * QUEUE_S)))


def _number(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:  # it has gone
        return 0


def _buckets(talk: nl.Conversation) -> Iterator[Bucket]:
    for body in talk.dump(RTM_GETQDISC, QDISC.pack(0, 0, 0, 0, 0)):
        _, interface, handle, parent, _ = QDISC.unpack_from(body)
        found = nl.attributes(body[QDISC.size :])
        options = nl.attributes(found.get(TCA_OPTIONS, b""))
        if parent != TC_H_ROOT or found.get(TCA_KIND) != b"tbf\0" or len(options.get(TCA_TBF_PARMS, b"")) < PARMS.size:
            continue
        rate, _, queued, _, _ = PARMS.unpack_from(options[TCA_TBF_PARMS])
        narrow = RATE.unpack(rate)[-1]
        yield Bucket(interface, handle, nl.number(options.get(TCA_TBF_RATE64, b"")) or narrow, queued)


def _resize(talk: nl.Conversation, bucket: Bucket) -> None:
    rate = RATE.pack(0, ETHERNET, 0, 0, 0, min(bucket.rate_bytes_s, MOST))
    parts = [
        nl.attribute(TCA_TBF_PARMS, PARMS.pack(rate, bytes(RATE.size), queue_bytes(bucket.rate_bytes_s), 0, 0)),
        nl.attribute(TCA_TBF_BURST, struct.pack("=I", burst_bytes(bucket.rate_bytes_s))),
    ]
    if bucket.rate_bytes_s > MOST:
        parts.append(nl.attribute(TCA_TBF_RATE64, struct.pack("=Q", bucket.rate_bytes_s)))
    head = QDISC.pack(0, bucket.interface, bucket.handle, TC_H_ROOT, 0)
    talk.ask(RTM_NEWQDISC, 0, head + nl.attribute(TCA_KIND, b"tbf\0") + nl.nested(TCA_OPTIONS, *parts))
