"""Where a release's image goes: the seam to a registry, and the embedded cluster's store behind it."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Protocol


class ImageBuilder(Protocol):
    """Turns a release's image folder into an image that pods can run."""

    def base(self) -> str:
        """What lies beneath every release, by its content, or "": another base makes another release."""
        ...

    def build(self, folder: Path, reference: str) -> str | None:
        """Make `reference` available with `folder` as its top layer; returns the digest where a registry gives one.

        Building a reference that is there already changes nothing: a reference names its content.
        """
        ...


class NoImages:
    """For an Airflow that runs dbt itself: a release is its files, and there are no pods."""

    def base(self) -> str:
        """Nothing."""
        return ""

    def build(self, folder: Path, reference: str) -> str | None:
        """Make nothing."""
        del folder, reference
        return None


class LocalImageStore:
    """The embedded cluster's images: one folder each, hard-linked to the release where the file system allows it."""

    def __init__(self, store: Path, runner_python: Path) -> None:
        self._store = store.absolute()
        self._entrypoint = [str(runner_python.absolute()), "-m", "wherry_runner"]

    def base(self) -> str:
        """Nothing: the entrypoint is outside of the image."""
        return ""

    def build(self, folder: Path, reference: str) -> str | None:
        """Put the image in place; image.json comes last, so that a reader sees a whole image or none."""
        image = self._store / reference.replace("/", "_").replace(":", "_")
        content = image / "release"
        self._store.mkdir(parents=True, exist_ok=True)
        if not content.is_dir():
            self._place(folder, content)
        description = {
            "reference": reference,
            "entrypoint": self._entrypoint,
            "env": {"WHERRY_RELEASE": str(content)},
            "workdir": str(content),
            "preload": ["wherry_runner.preload"],
        }
        write_atomically(image / "image.json", json.dumps(description, indent=2, sort_keys=True).encode() + b"\n")
        return None

    def _place(self, folder: Path, content: Path) -> None:
        content.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".release-", dir=content.parent) as temporary:
            tree = Path(temporary, "release")
            shutil.copytree(folder, tree, copy_function=_link_or_copy)
            try:
                tree.rename(content)
            except OSError:
                if not content.is_dir():  # else another release of the same content was faster
                    raise


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader sees the old content or the new, and a crash leaves one of both."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
