"""Where a Service is: the address that the API server itself connects to, for webhooks and aggregated APIs.

It goes straight to a ready endpoint, as Kubernetes does with aggregator routing enabled: that needs no rules in the
kernel, so the server may run where services' own addresses mean nothing.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#service-reference
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from navarch.apiserver.call import Reads
from navarch.apiserver.outgoing import Outgoing, Target, Unreachable, bundle_of
from navarch.base.clock import Ids
from navarch.kinds import ENDPOINTSLICE, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.objects.value import Document

HTTPS_PORT = 443
PATH_SAFE = "/:@!$&'()*+,;=~%-._"


@dataclass(frozen=True, slots=True)
class Reach:
    """How the server reaches what is outside of it. simulated: pods run nowhere, so of them only what has a loopback
    address is connected to."""

    reads: Reads
    ids: Ids
    simulated: bool = False
    outgoing: Outgoing = field(default_factory=Outgoing)

    def target(self, client: Document) -> Target:
        """The server that a `clientConfig` names. Raises: Unreachable."""
        bundle = bundle_of(client.get("caBundle") or "")
        url = client.get("url")
        if url is None:
            service = client["service"]
            found = self.service(service["namespace"], service["name"], service.get("port", HTTPS_PORT))
            path = quote(service.get("path") or "/", safe=PATH_SAFE)
        else:
            parts = urlsplit(url)
            host = parts.hostname or ""
            found = Target(host, parts.port or HTTPS_PORT, host, parts.netloc.rpartition("@")[2])
            path = parts.path or "/"
        return replace(found, path=path, bundle=bundle)

    def service(self, namespace: str, name: str, port: int) -> Target:
        """A server behind a Service, which is `name.namespace.svc` by its certificate. Raises: Unreachable."""
        found = self.reads.get(SERVICE, namespace, name)
        if found is None:
            raise Unreachable(f'service "{name}" not found')
        spec = found.document().get("spec") or {}
        known_as = f"{name}.{namespace}.svc"
        authority = f"{known_as}:{port}"
        if spec.get("type") == "ExternalName":
            return Target(spec["externalName"], port, known_as, authority)
        served = next((one for one in spec.get("ports") or () if one["port"] == port), None)
        if served is None:
            raise Unreachable(f'no service port {port} found for service "{name}"')
        slices = self.reads.where(ENDPOINTSLICE, labels=f"{SERVICE_LABEL}={name}")
        ready = endpoints([one.document() for one in slices if one.namespace == namespace], served.get("name") or "")
        near = [one for one in ready if not self.simulated or ip_address(one[0]).is_loopback]
        if ready and not near:
            raise Unreachable(f'the pods behind service "{name}" are simulated and answer nothing')
        if not near:
            raise Unreachable(f'no endpoints available for service "{name}"')
        host, number = near[int(self.ids.fraction() * len(near)) % len(near)]
        return Target(host, number, known_as, authority)


def url_of(client: Document) -> str:
    """What errors call the server that a `clientConfig` names."""
    if (url := client.get("url")) is not None:
        return str(url)
    service = client["service"]
    path = quote(service.get("path") or "/", safe=PATH_SAFE)
    return f"https://{service['name']}.{service['namespace']}.svc:{service.get('port', HTTPS_PORT)}{path}"


def endpoints(slices: Sequence[Document], port: str) -> list[tuple[str, int]]:
    """The ready addresses of slices, with the number of the port of that name; sorted, each once."""
    found: set[tuple[str, int]] = set()
    for one in slices:
        if one.get("addressType") == "FQDN":
            continue
        numbers = [
            entry["port"] for entry in one.get("ports") or () if entry.get("name", "") == port and "port" in entry
        ]
        for endpoint in one.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                found |= {(endpoint["addresses"][0], number) for number in numbers}
    return sorted(found)
