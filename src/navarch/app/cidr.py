"""Which addresses this machine's pods have: what the cluster has given its node, kept where an agent finds it that
cannot reach the API server.

Until the first machine of a cluster was told, it takes the first range, which is what the first node is given.
"""

from __future__ import annotations

from navarch.app import ranges
from navarch.app.layout import Layout, Settings, write_atomically
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import NODE
from navarch.kinds.object import Object

_log = Log("network")


def known(layout: Layout, settings: Settings) -> str:
    """ "" on a machine that has joined and was not told yet."""
    try:
        return layout.pod_cidr.read_text().strip()
    except FileNotFoundError:
        return "" if settings.server else first(settings)


def first(settings: Settings) -> str:
    """Of each of the cluster's ranges, parted by a comma."""
    return ",".join(str(next(ranges.nodes_of(network))) for network in ranges.networks(settings.cluster_cidr))


def given_to(node: Object) -> str:
    """What a Node says of its pods' addresses, parted by a comma; "" for nothing yet."""
    spec = node.view.spec
    return ",".join(spec.pod_cidrs) or spec.pod_cidr


def keep(layout: Layout, cidr: str) -> None:
    write_atomically(layout.pod_cidr, cidr + "\n", 0o644)


async def ask(client: Client, layout: Layout, settings: Settings) -> str:
    """What the node has been given, as far as that can be learned now. Raises: Retryable: nothing is known yet."""
    before = known(layout, settings)
    try:
        given = given_to(await client.get(NODE, "", settings.node_name))
    except (ApiError, Retryable) as error:
        _log.info("the node's range is taken as it was", cidr=before, error=error)
        given = ""
    if given and given != before:
        _log.warning("the node has another range of addresses now; pods that run keep theirs", before=before, now=given)
        keep(layout, given)
    if not given and not before:
        raise Retryable(f"node {settings.node_name} has not been given addresses for its pods yet")
    return given or before
