"""The class `local-path` that clusters begin with: claims of it get a folder of the node where their first pod runs.

Source: https://kubernetes.io/docs/concepts/storage/storage-classes/
"""

from __future__ import annotations

from navarch.objects.value import Document

PROVISIONER_NAME = "navarch.dev/local-path"
CLASS_NAME = "local-path"
HOSTNAME = "kubernetes.io/hostname"


def local_class() -> Document:
    """Folders have no size of their own, so claims of it may grow."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": CLASS_NAME,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER_NAME,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
