"""Which addresses this machine's pods have: what the cluster has given its node, kept where an agent finds it that
cannot reach the API server.

Until the first machine of a cluster was told, it takes the first range, which is what the first node is given.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from navarch.app.layout import Layout, Settings, write_atomically
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import NODE

_log = Log("network")


def known(layout: Layout, settings: Settings) -> str:
    """ "" on a machine that has joined and was not told yet."""
    try:
        return layout.pod_cidr.read_text().strip()
    except FileNotFoundError:
        return "" if settings.server else first(settings)


def first(settings: Settings) -> str:
    return str(next(iter(IPv4Network(settings.cluster_cidr).subnets(new_prefix=24))))


def keep(layout: Layout, cidr: str) -> None:
    write_atomically(layout.pod_cidr, cidr + "\n", 0o644)


async def ask(client: Client, layout: Layout, settings: Settings) -> str:
    """What the node has been given, as far as that can be learned now. Raises: Retryable: nothing is known yet."""
    before = known(layout, settings)
    try:
        given = (await client.get(NODE, "", settings.node_name)).view.spec.pod_cidr
    except (ApiError, Retryable) as error:
        _log.info("the node's range is taken as it was", cidr=before, error=error)
        given = ""
    if given and given != before:
        _log.warning("the node has another range of addresses now; pods that run keep theirs", before=before, now=given)
        keep(layout, given)
    if not given and not before:
        raise Retryable(f"node {settings.node_name} has not been given addresses for its pods yet")
    return given or before
