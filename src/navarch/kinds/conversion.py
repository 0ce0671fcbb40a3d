"""How objects of a custom resource get from one version to another where a webhook has to be asked for it.

Here is only what the definition says; asking is the API server's business.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from navarch.objects.value import Document

if TYPE_CHECKING:
    from navarch.kinds.kind import Kind

START = b'{"apiVersion":"'


@dataclass(eq=False, slots=True)
class Conversion:
    """client: a `clientConfig`. reviews: the versions of ConversionReview that the webhook understands. faces: every
    version of the definition, by apiVersion, served or not."""

    client: Document
    reviews: tuple[str, ...]
    faces: dict[str, Kind] = field(default_factory=dict)

    def face_of(self, kind: Kind, value: bytes) -> Kind:
        """The kind as which stored bytes were written. kind: any version's."""
        api_version = value[len(START) : value.index(b'"', len(START))].decode()
        found = self.faces.get(api_version)
        if found is None:  # of a version that the definition no longer has
            found = replace(kind, version=api_version.rpartition("/")[2], revive=None)
            self.faces[api_version] = found
        return found
