"""In what our discovery and OpenAPI documents differ from those that Kubernetes 1.36 publishes, and why.

`tests/unit/apiserver/test_reference_documents.py` finds the differences, fails for one that nothing here
explains, and for an explanation of what is no difference any more.
"""

from __future__ import annotations

from dataclasses import dataclass

DISCOVERY, OPENAPI = "discovery", "OpenAPI v2"


@dataclass(frozen=True, slots=True)
class Difference:
    """where: what differs, as the test says it, with `*` for anything."""

    document: str
    where: str
    why: str


ALPHA = "alpha versions are off in a cluster unless somebody asks for them, and nobody can ask here"
CBOR = "an alpha feature of Kubernetes, off unless asked for"
WORDS = "said in our own words"

ALL = (
    Difference(DISCOVERY, "*alpha* is not served", ALPHA),
    Difference(DISCOVERY, "*beta* is not served", "beta versions are off in a cluster unless somebody asks for them"),
    Difference(OPENAPI, "path /apis/*alpha* is not served", ALPHA),
    Difference(OPENAPI, "path /apis/*beta* is not served", "beta versions are off in a cluster unless asked for"),
    Difference(OPENAPI, "path /apis/internal.apiserver.k8s.io/ is not served", ALPHA),
    Difference(OPENAPI, "path /apis/storagemigration.k8s.io/ is not served", "it has beta versions only"),
    Difference(OPENAPI, "path /api/v1/componentstatuses* is not served", "deprecated since 1.19"),
    Difference(OPENAPI, "path /logs/* is not served", "it shows files of the server's machine, and is off by default"),
    Difference(OPENAPI, "definition *alpha* is missing", ALPHA),
    Difference(OPENAPI, "definition *beta* is missing", "beta versions are off in a cluster unless asked for"),
    Difference(OPENAPI, "definition io.k8s.api.core.v1.Component* is missing", "deprecated since 1.19"),
    Difference(OPENAPI, "definition *.GroupResource is missing", "only StorageVersionMigration refers to it"),
    Difference(OPENAPI, "*: consumes application/*cbor", CBOR),
    Difference(OPENAPI, "*: produces application/cbor*", CBOR),
    Difference(OPENAPI, "description of operations", WORDS),
    Difference(OPENAPI, "description of parameters", WORDS),
    Difference(OPENAPI, "definition *: description", "the two that the published package leaves out"),
    Difference(OPENAPI, "info.version", "the published file has none; a running server says its own, as here"),
    Difference(OPENAPI, "parameters", "what several operations share is written out at each"),
)
