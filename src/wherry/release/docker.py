"""Release images by the Docker engine: the runner's image, and the release as one thin layer on top."""

import io
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from wherry.release.model import ReleaseError

RELEASE_FOLDER = "/wherry/release"
"""Where an image holds its release: what `WHERRY_RELEASE` says in the runner's image."""

Deliver = Callable[[str], str | None]
"""Brings a built image to where pods find it; returns the digest where a registry gives one."""


class DockerImageBuilder:
    """Builds with the `docker` command and delivers what was built; podman's `docker` does too."""

    def __init__(self, runner: str, deliver: Deliver = lambda _: None) -> None:
        """Put releases on top of the image `runner`; without `deliver` they stay in the engine."""
        self._runner = runner
        self._deliver = deliver

    def base(self) -> str:
        """The id of the runner's image; ReleaseError where the engine has none, or there is no engine."""
        try:
            return docker("image", "inspect", "--format", "{{.Id}}", self._runner)
        except ReleaseError as error:
            raise ReleaseError(f"no image of the runner: {error}; expected {self._runner}: run `task images`") from None

    def build(self, folder: Path, reference: str) -> str | None:
        """Build `reference` unless the engine has it, and deliver it."""
        if not docker("images", "--quiet", reference):
            docker("build", "--quiet", "--tag", reference, "-", stdin=context(folder, self._runner))
        return self._deliver(reference)


def context(folder: Path, runner: str) -> bytes:
    """What Docker builds an image from, as a tar."""
    dockerfile = f"FROM {runner}\nCOPY release {RELEASE_FOLDER}\n".encode()
    return tree(folder, "release", {"Dockerfile": dockerfile})


def tree(folder: Path, name: str, files: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """`folder` under another name, and further files, as a tar: the same files give the same bytes, for all to read."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(_plain(entry), io.BytesIO(content))
        for file in [folder, *sorted(folder.rglob("*"))]:
            tar.add(file, f"{name}/{file.relative_to(folder)}", recursive=False, filter=_plain)
    return stream.getvalue()


def push(reference: str) -> str | None:
    """Push an image to the registry in its name; returns the digest that the registry gave it."""
    docker("push", "--quiet", reference)
    digests = docker("image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', reference).splitlines()
    repository = reference.rpartition(":")[0]
    return next((digest for name, _, digest in (line.partition("@") for line in digests) if name == repository), None)


def docker(*arguments: str, stdin: bytes | None = None) -> str:
    """What a docker command printed; ReleaseError with its own words where it failed."""
    return _run(["docker", *arguments], stdin)


def _run(command: Sequence[str], stdin: bytes | None) -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise ReleaseError("docker is missing: install it (https://docs.docker.com/engine/install/)") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ReleaseError(f"docker {command[1]} failed: {said[-2000:] or f'exit code {done.returncode}'}")
    return done.stdout.decode().strip()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The entry without what this machine adds to a file: owner, time, a mode by the umask."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry
