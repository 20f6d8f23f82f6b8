"""Rules that every Dockerfile keeps."""

import re
from pathlib import Path

import pytest

from wherry.cluster.images import NAMES
from wherry.demo.layout import REPOSITORY

DOCKERFILES = [REPOSITORY / "images" / name / "Dockerfile" for name in NAMES]
every = pytest.mark.parametrize("file", DOCKERFILES, ids=NAMES)


def instructions(file: Path) -> list[str]:
    text = re.sub(r"(?m)^#.*\n", "", file.read_text()).replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@every
def test_the_last_stage_is_the_base_and_a_copy(file: Path) -> None:
    """Nothing is installed in it by pip or uv, and its user is not root and a number, which Kubernetes can check."""
    lines = instructions(file)
    last = lines[max(index for index, line in enumerate(lines) if line.startswith("FROM")) :]
    assert last[0] == "FROM ${PYTHON_IMAGE}"
    assert not [line for line in last if re.search(r"\b(pip|uv) ", line)]
    (user,) = [line.split()[1] for line in last if line.startswith("USER")]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


@every
def test_what_is_installed_is_what_is_locked(file: Path) -> None:
    """By version and hash, from the index that the builder names, and without the development tools."""
    lines = " ".join(instructions(file))
    assert "uv export --quiet --frozen --no-dev" in lines
    assert "--require-hashes --no-build --compile-bytecode" in lines
    assert "ARG PIP_INDEX_URL" in lines


@every
def test_it_needs_no_buildkit(file: Path) -> None:
    """The classic builder knows no mounts, no heredocs and no syntax line."""
    assert not re.search(r"RUN --mount|COPY --link|<<|^# syntax", file.read_text(), re.MULTILINE)


@every
def test_it_is_labelled(file: Path) -> None:
    """By the words that registries know."""
    text = file.read_text()
    for word in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{word}=" in text


def test_nothing_is_sent_to_the_engine_but_what_images_hold() -> None:
    """The build context is an allow-list, so that no state, secret or environment of this folder gets into a layer."""
    lines = (REPOSITORY / ".dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {
        *("!pyproject.toml", "!uv.lock", "!tools.txt", "!README.md", "!LICENSE", "!src", "!dags", "!images"),
    }
