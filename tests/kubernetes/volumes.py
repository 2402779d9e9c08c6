"""Persistent volumes for a real node, which has no provisioner of its own: each claim gets a folder."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kubernetes.cluster import ApiServer

CLASS = "local-folder"
LOOK_EVERY_SECONDS = 0.5


@contextmanager
def volumes(server: ApiServer) -> Iterator[str]:
    """Gives every claim of the yielded storage class, the default one, a volume on `node-1`, and removes what nobody claims."""
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage_class = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "nearcode.test/folders"}
    server.apply({**storage_class, "metadata": {"name": CLASS, "annotations": annotations}})
    over = threading.Event()

    def provision() -> None:
        while not over.wait(LOOK_EVERY_SECONDS):
            listed = json.loads(server.kubectl("get", "pvc,pv", "-A", "-o", "json", check=False) or "{}")
            _settle(server, listed.get("items", []))

    thread = threading.Thread(target=provision, daemon=True)
    thread.start()
    try:
        yield CLASS
    finally:
        over.set()
        thread.join()


def _settle(server: ApiServer, found: list[dict[str, Any]]) -> None:
    there = {item["metadata"]["name"] for item in found if item["kind"] == "PersistentVolume"}
    for item in found:
        phase, name = item["status"]["phase"], item["metadata"]["name"]
        if item["kind"] == "PersistentVolume" and phase == "Released":
            server.kubectl("delete", "pv", name, "--wait=false", check=False)
        elif (
            item["spec"].get("storageClassName") == CLASS
            and phase == "Pending"
            and f"pv-{item['metadata']['uid']}" not in there
        ):
            server.apply(_volume(server, item))


def _volume(server: ApiServer, claim: dict[str, Any]) -> dict[str, Any]:
    """A `local` volume, not `hostPath`: only for that the kubelet gives a pod's group its files."""
    metadata = claim["metadata"]
    folder = server.state / "volumes" / metadata["uid"]
    folder.mkdir(parents=True)
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}
    spec = {
        "capacity": claim["spec"]["resources"]["requests"],
        "accessModes": claim["spec"]["accessModes"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": CLASS,
        "local": {"path": str(folder)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
        "claimRef": {"kind": "PersistentVolumeClaim", "name": metadata["name"], "namespace": metadata["namespace"]},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{metadata['uid']}"}, "spec": spec}
