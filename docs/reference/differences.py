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
POD_CERTIFICATES = "beta, off unless asked for; only nodes make them, and ours have no use for them yet"
WORDS = "said in our own words"

ALL = (
    Difference(DISCOVERY, "*alpha* is not served", ALPHA),
    Difference(DISCOVERY, "certificates.k8s.io/v1beta1/podcertificaterequests is not served", POD_CERTIFICATES),
    Difference(OPENAPI, "path /apis/*alpha* is not served", ALPHA),
    Difference(OPENAPI, "path */podcertificaterequests* is not served", POD_CERTIFICATES),
    Difference(OPENAPI, "path /apis/internal.apiserver.k8s.io/ is not served", ALPHA),
    Difference(OPENAPI, "path /logs/* is not served", "it shows files of the server's machine, and is off by default"),
    Difference(OPENAPI, "definition *alpha* is missing", ALPHA),
    Difference(OPENAPI, "definition *.PodCertificateRequest* is missing", POD_CERTIFICATES),
    Difference(OPENAPI, "*: consumes application/*cbor", CBOR),
    Difference(OPENAPI, "*: produces application/cbor*", CBOR),
    Difference(OPENAPI, "description of operations", WORDS),
    Difference(OPENAPI, "description of parameters", WORDS),
    Difference(OPENAPI, "definition *: description", "the two that the published package leaves out"),
    Difference(OPENAPI, "info.version", "the published file has none; a running server says its own, as here"),
    Difference(OPENAPI, "parameters", "what several operations share is written out at each"),
)
