"""Release time: parse a dbt project once, and write what its pods load: `python -m wherry_runner.build`.

Prints one JSON line on stdout; dbt's log goes to stderr. Same project, same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from dbt.cli.main import dbtRunner
from dbt.constants import DEFAULT_ENV_PLACEHOLDER
from dbt.contracts.graph.manifest import Manifest

from wherry_runner import cut, diet, generated, slices

_ENV_VAR: Final = re.compile(r"""env_var\(\s*['"](?P<name>\w+)['"]""")
_REQUIRED: Final = re.compile(_ENV_VAR.pattern + r"\s*\)")
_NUMBER: Final = re.compile(
    r"^\s*[\"']?(?:port|threads|\w*timeout\w*|retries|keepalives\w*)[\"']?\s*:|as_number|\bint\b"
)
_QUIET: Final = (
    *("--no-partial-parse", "--no-write-json", "--no-version-check", "--no-send-anonymous-usage-stats"),
    *("--no-use-colors", "--log-level-file", "none"),
)


class BuildError(Exception):
    """dbt refused the project; the message is dbt's own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Build the slices of a project; return 0, or 1 with dbt's words in the printed line."""
    parser = argparse.ArgumentParser(prog="python -m wherry_runner.build", description=__doc__)
    parser.add_argument("--project", type=Path, required=True, help="folder with dbt_project.yml")
    parser.add_argument("--profiles", type=Path, required=True, help="folder with profiles.yml")
    parser.add_argument("--target", required=True, help="dbt target in profiles.yml")
    parser.add_argument("--out", type=Path, required=True, help="where manifest.json and slices/ are written")
    parser.add_argument("--select", action="append", default=[], help="a dbt selector to resolve; may be repeated")
    options = parser.parse_args(argv)
    _bake_once()
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        try:
            done = build(options.project, options.profiles, options.target, options.out, options.select)
        except BuildError as error:
            done = {"ok": False, "error": str(error)}
    print(json.dumps(done), file=stdout, flush=True)
    return 0 if done["ok"] else 1


def _bake_once() -> None:
    """Outside of an image, keep what all of this installation's pods compile; like Python's bytecode, if it may."""
    if not generated.PATH.exists() and os.access(generated.PATH.parents[1], os.W_OK) and not sys.dont_write_bytecode:
        subprocess.run([sys.executable, "-m", "wherry_runner.bake"], stdout=sys.stderr, check=False)


def build(project: Path, profiles: Path, target: str, out: Path, selectors: Sequence[str]) -> dict[str, Any]:
    """Parse the project and write OUT/manifest.json and OUT/slices; return the line to print. Raises BuildError."""
    with tempfile.TemporaryDirectory(prefix="wherry-build-") as scratch, _placeholders(profiles) as placeholders:
        places = ("--project-dir", str(project), "--profiles-dir", str(profiles), "--target", target)
        folders = (*places, "--target-path", scratch, "--log-path", scratch)
        manifest = _dbt(None, "parse", *folders)
        selected = {selector: _resolve(manifest, selector, folders) for selector in selectors}
    adapter = manifest.metadata.adapter_type or ""
    index = slices.Index(
        dbt=version("dbt-core"),
        adapter=adapter,
        adapter_version=version(f"dbt-{adapter}"),
        project=manifest.metadata.project_name or "",
        target=target,
        env={name: slices.env_hash(os.environ.get(name)) for name in _names(project / "dbt_project.yml")},
        needs=sorted({match["name"] for match in _REQUIRED.finditer((profiles / "profiles.yml").read_text())}),
    )
    out.mkdir(parents=True, exist_ok=True)
    manifest.writable_manifest().write(str(out / "manifest.json"))
    write_slices(manifest, index, out / "slices", placeholders)
    return {
        "ok": True,
        "dbt": index.dbt,
        "adapter": {"type": adapter, "version": index.adapter_version},
        "nodes": len(cut.sliceable(manifest)),
        "selected": selected,
    }


def write_slices(manifest: Manifest, index: slices.Index, folder: Path, placeholders: Sequence[str]) -> None:
    """Write the slices of all nodes. One that shows a placeholder's value gets none: its pod must parse."""
    (folder / "nodes").mkdir(parents=True, exist_ok=True)
    macros = sorted(manifest.macros.values(), key=lambda macro: macro.unique_id)
    shared = {
        "macros": [
            (m.unique_id, m.name, m.package_name, m.original_file_path, m.macro_sql, m.supported_languages)
            for m in macros
        ],
        "groups": {uid: {**group.to_dict(), "description": ""} for uid, group in sorted(manifest.groups.items())},
        "schemas": diet.schemas(),
    }
    (folder / slices.SHARED).write_bytes(slices.pack(shared))
    (folder / slices.GRAPH).write_bytes(slices.pack(cut.flat_graph(manifest)))
    tests = cut.tests_by_parent(manifest)
    for uid in cut.sliceable(manifest):
        slices.node_path(folder, uid).write_bytes(_slice(manifest, uid, tests, placeholders))
    (folder / slices.INDEX).write_text(json.dumps(asdict(index), sort_keys=True) + "\n")


def _slice(manifest: Manifest, uid: str, tests: dict[str, list[str]], placeholders: Sequence[str]) -> bytes:
    try:
        part = cut.cut(manifest, uid, tests)
    except cut.CannotCutError as error:
        return slices.pack({"why": str(error)})
    ways = ((part.whole, cut.as_data), (part.inlined, cut.inlined), (part.leaves, cut.leaf))
    members = [
        (_kind(manifest, member), type(manifest.expect(member)).__name__, way(manifest.expect(member)))
        for ids, way in ways
        for member in ids
    ]
    data = slices.pack(members)
    shown = [value for value in placeholders if value.encode() in data]
    if shown:
        why = f"its configuration holds the value of {shown[0].removeprefix(_PREFIX)}, known only in the pod"
        return slices.pack({"why": why})
    nodes = [manifest.expect(member) for member in (*part.whole, *part.inlined, *part.leaves)]
    env = {name: _parsed_with(manifest.env_vars[name]) for name in sorted(cut.env_names(manifest, nodes))}
    return slices.pack({"why": "", "env": env, "members": members})


def _parsed_with(value: str) -> str:
    return "" if value == DEFAULT_ENV_PLACEHOLDER else slices.env_hash(value)


def _kind(manifest: Manifest, uid: str) -> str:
    return next(kind for kind in ("nodes", "sources", "functions", "unit_tests") if uid in getattr(manifest, kind))


def _resolve(manifest: Manifest, selector: str, folders: Sequence[str]) -> list[str]:
    listed = _dbt(manifest, "ls", "--select", selector, "--output", "json", "--output-keys", "unique_id", *folders)
    return sorted(json.loads(line)["unique_id"] for line in listed)


def _dbt(manifest: Manifest | None, *args: str) -> Any:
    done = dbtRunner(manifest=manifest).invoke([*args, *_QUIET])
    if not done.success:
        raise BuildError(str(done.exception or "dbt gave no reason").strip())
    return done.result


_PREFIX: Final = "wherry-placeholder-"


@contextlib.contextmanager
def _placeholders(profiles: Path) -> Iterator[list[str]]:
    """Set all that profiles.yml reads, for parsing needs a value and a builder's own must not leak into a release.

    Yields the values that would show.
    """
    shown: list[str] = []
    before = dict(os.environ)
    text = (profiles / "profiles.yml").read_text() if (profiles / "profiles.yml").exists() else ""
    for line in text.splitlines():
        for match in _ENV_VAR.finditer(line):
            number = bool(_NUMBER.search(line))
            os.environ[match["name"]] = "1" if number else _PREFIX + match["name"]
            shown += [] if number else [_PREFIX + match["name"]]
    try:
        yield shown
    finally:
        os.environ.clear()
        os.environ.update(before)


def _names(file: Path) -> list[str]:
    return sorted({match["name"] for match in _ENV_VAR.finditer(file.read_text())}) if file.exists() else []


if __name__ == "__main__":
    sys.exit(main())
