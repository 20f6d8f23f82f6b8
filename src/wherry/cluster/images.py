"""The three images that Wherry builds, named by their content."""

import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import IO, cast

from wherry.cluster.settings import Settings
from wherry.cluster.shell import run
from wherry.demo.layout import REPOSITORY

NAMES = ("airflow", "dbt-runner", "snowflake-emulator")
PYTHON = "python:3.13-slim-trixie"
POSTGRES = "postgres:17"
REPOSITORY_PREFIX = "wherry.local/platform"
Step = Callable[[str], AbstractContextManager[None]]
_TAG_LENGTH = 12
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Images:
    """The images of one cluster, as its nodes know them."""

    airflow: str
    runner: str
    emulator: str
    postgres: str

    def all(self) -> tuple[str, ...]:
        """Every image that the nodes need."""
        return (self.airflow, self.runner, self.emulator, self.postgres)


def build_all(settings: Settings, step: Step) -> Images:
    """Build what has changed, and pull PostgreSQL where it is missing; each is a step that is shown."""
    postgres, built = settings.public(POSTGRES), []
    if not run("docker", "images", "--quiet", postgres):
        with step(f"image {postgres}"):
            run("docker", "pull", "--quiet", postgres)
    for name in NAMES:
        with step(f"image {name}"):
            built.append(build(name, settings))
    airflow, runner, emulator = built
    return Images(airflow, runner, emulator, postgres)


def build(name: str, settings: Settings) -> str:
    """Build one image; its name ends in its content's digest, so that a change is a change of the name too."""
    arguments = [word for key, value in build_arguments(settings).items() for word in ("--build-arg", f"{key}={value}")]
    file = REPOSITORY / "images" / name / "Dockerfile"
    image = run("docker", "build", "--quiet", "--file", file, *arguments, REPOSITORY, timeout=3600).decode().strip()
    reference = f"{REPOSITORY_PREFIX}/{name}:{image.removeprefix('sha256:')[:_TAG_LENGTH]}"
    run("docker", "tag", image, reference)
    return reference


def build_arguments(settings: Settings) -> dict[str, str]:
    """The base image and the package index, where they aren't the public ones."""
    index = {"PIP_INDEX_URL": settings.package_index} if settings.package_index else {}
    return {"PYTHON_IMAGE": settings.public(PYTHON), **index}


def sizes(images: Mapping[str, str]) -> Iterator[tuple[str, str, int, int]]:
    """(name, reference, bytes on disk, bytes compressed as a registry would keep it) of each image."""
    for name, reference in images.items():
        size = int(run("docker", "image", "inspect", "--format", "{{.Size}}", reference))
        yield name, reference, size, compressed(reference)


def compressed(reference: str) -> int:
    """The image's size in a registry, in bytes: what gzip would make of it."""
    packer, packed = zlib.compressobj(level=6), 0
    with subprocess.Popen(["docker", "save", reference], stdout=subprocess.PIPE) as save:
        for chunk in iter(partial(cast(IO[bytes], save.stdout).read, _CHUNK), b""):
            packed += len(packer.compress(chunk))
    return packed + len(packer.flush())


def user_of(image: str, user: str) -> int:
    """The uid of a user in an image: images of PostgreSQL differ in it."""
    return int(run("docker", "run", "--rm", "--entrypoint", "id", image, "-u", user))
