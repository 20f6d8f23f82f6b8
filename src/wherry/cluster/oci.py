"""A release as an image that shares all but one layer with one that a node has already. Pure.

Loading a whole image into a node takes as long as copying it. An archive that holds only what is new (the release's
layer, a configuration, a manifest) is as good, because containerd keeps layers by their digest and has the others.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
_LAYERS = {
    "application/vnd.docker.distribution.manifest.v2+json": "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.oci.image.manifest.v1+json": "application/vnd.oci.image.layer.v1.tar",
}


def on_top(manifest: Json, config: Json, layer: bytes, reference: str) -> bytes:
    """An OCI archive of the image `reference`: the image that manifest and configuration describe, and the layer."""
    history = [*config.get("history", ()), {"created_by": "wherry release", "comment": reference}]
    diff_ids = [*config["rootfs"]["diff_ids"], digest(layer)]
    new_config = _json({**config, "history": history, "rootfs": {**config["rootfs"], "diff_ids": diff_ids}})
    layers = [*manifest["layers"], {"mediaType": _LAYERS[manifest["mediaType"]], **_described(layer)}]
    new_manifest = _json({**manifest, "config": {**manifest["config"], **_described(new_config)}, "layers": layers})
    entry = {
        "mediaType": manifest["mediaType"],
        **_described(new_manifest),
        "annotations": {"io.containerd.image.name": reference},
    }
    blobs = {f"blobs/sha256/{digest(blob)[7:]}": blob for blob in (layer, new_config, new_manifest)}
    index = _json({"schemaVersion": 2, "manifests": [entry]})
    return _tar({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs})


def digest(blob: bytes) -> str:
    """A blob's name."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def for_architecture(index: Json, architecture: str) -> str:
    """The digest of an index's manifest for Linux on that architecture."""
    found = (entry["digest"] for entry in index["manifests"] if _runs_on(entry.get("platform", {}), architecture))
    return str(next(found))


def _runs_on(platform: Mapping[str, str], architecture: str) -> bool:
    return (platform.get("os"), platform.get("architecture")) == ("linux", architecture)


def _described(blob: bytes) -> Json:
    return {"digest": digest(blob), "size": len(blob)}


def _json(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
