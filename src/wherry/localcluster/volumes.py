"""The files of a pod's volumes: emptyDir begins as an empty folder, downwardAPI holds what the pod's metadata says."""

from collections.abc import Iterator
from pathlib import Path

from wherry.localcluster.command import field
from wherry.localcluster.errors import Json


def fill(folder: Path, pod: Json) -> None:
    """Make the folders and files of a pod's volumes as they should be now; a reader sees the old text or the new."""
    for volume in pod["spec"].get("volumes") or ():
        place = folder / "volumes" / volume["name"]
        place.mkdir(parents=True, exist_ok=True)
        for name, text in _files(volume, pod):
            if (place / name).exists() and (place / name).read_text() == text:
                continue
            (folder / f".{name}").write_text(text)
            (folder / f".{name}").replace(place / name)


def _files(volume: Json, pod: Json) -> Iterator[tuple[str, str]]:
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        yield item["path"], field(pod, item["fieldRef"]["fieldPath"])
