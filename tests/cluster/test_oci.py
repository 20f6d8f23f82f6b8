"""An archive of one layer is an image on top of another."""

import io
import json
import tarfile

from wherry.cluster import oci

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = {
    "architecture": "amd64",
    "config": {"User": "10001:10001", "Entrypoint": ["wherry-runner"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:below"]},
}


def manifest(media_type: str) -> dict:
    return {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": "config", "digest": "sha256:old", "size": 1},
        "layers": [{"mediaType": "layer", "digest": "sha256:below", "size": 7}],
    }


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def test_the_archive_holds_only_what_is_new() -> None:
    """The layer, a configuration and a manifest; every blob is named by its digest."""
    files = unpacked(oci.on_top(manifest(OCI), CONFIG, b"layer", "wherry.local/finance-finance:1"))
    blobs = {name: blob for name, blob in files.items() if name.startswith("blobs/")}
    assert b"layer" in blobs.values()
    assert len(blobs) == 3
    assert all(name == f"blobs/sha256/{oci.digest(blob)[7:]}" for name, blob in blobs.items())


def test_the_image_is_the_one_below_and_the_layer() -> None:
    """The layers in their order, and everything else of the image below: its user and entrypoint."""
    files = unpacked(oci.on_top(manifest(DOCKER), CONFIG, b"layer", "wherry.local/finance-finance:1"))
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": "wherry.local/finance-finance:1"}
    made = json.loads(files[f"blobs/sha256/{entry['digest'][7:]}"])
    assert [layer["digest"] for layer in made["layers"]] == ["sha256:below", oci.digest(b"layer")]
    assert made["layers"][1]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar"
    config = json.loads(files[f"blobs/sha256/{made['config']['digest'][7:]}"])
    assert config["config"] == CONFIG["config"]
    assert config["rootfs"]["diff_ids"] == ["sha256:below", oci.digest(b"layer")]


def test_the_same_release_is_the_same_image() -> None:
    """No time and no machine is in the archive."""
    one, other = (oci.on_top(manifest(OCI), CONFIG, b"layer", "a/b:1") for _ in range(2))
    assert one == other


def test_an_index_is_read_for_the_nodes_architecture() -> None:
    """An image for many architectures, or one with attestations, has its manifests behind an index."""
    index = {
        "manifests": [
            {"digest": "sha256:other", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:this", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:attestation", "platform": {"os": "unknown", "architecture": "unknown"}},
        ]
    }
    assert oci.for_architecture(index, "amd64") == "sha256:this"
