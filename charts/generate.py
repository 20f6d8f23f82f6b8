"""Write what follows from the charts' schemas: values.schema.json, values.yaml, README.md and the reference pages.

A chart's schema is written by hand, in YAML, and its descriptions are the documentation. That of charts/team is the
team file's own schema and one key more. `--check` writes nothing and exits with 1 where a file is out of date.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
Schema = Mapping[str, Any]
_NONE = object()


def team_schema() -> Schema:
    """The team file's schema with the key `platform`."""
    team = json.loads((ROOT / "schemas/team.schema.json").read_text())
    platform = _source("team/platform.schema.yaml")
    properties = {**team["properties"], "platform": {k: v for k, v in platform.items() if k != "$defs"}}
    fit: Schema = _for_go({**team, "title": "charts/team", "properties": properties})
    return fit


def airflow_schema() -> Schema:
    """The schema of charts/airflow."""
    return _source("airflow/values.schema.yaml")


def _source(path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "charts" / path).read_text())
    return loaded


def _for_go(schema: Any) -> Any:
    """The schema without what Go's regular expressions lack (look-ahead): `wherry validate` is stricter than Helm."""
    if isinstance(schema, Mapping):
        return {k: _GO.sub("", v) if k == "pattern" and isinstance(v, str) else _for_go(v) for k, v in schema.items()}
    return [_for_go(item) for item in schema] if isinstance(schema, list) else schema


_GO = re.compile(r"\(\?![^()]*\)")


def resolve(schema: Schema, root: Schema) -> Schema:
    """The schema with its `$ref`, if it has one, put in; its own keys win."""
    if "$ref" not in schema:
        return schema
    target = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**resolve(target, root), **{k: v for k, v in schema.items() if k != "$ref"}}


def default(schema: Schema, root: Schema) -> Any:
    """The default of a value: its own, or those of its properties; `_NONE` where it has none."""
    schema = resolve(schema, root)
    if "default" in schema:
        return schema["default"]
    inner = {k: default(v, root) for k, v in schema.get("properties", {}).items()}
    return {k: v for k, v in inner.items() if v is not _NONE} or _NONE


def values_yaml(schema: Schema, chart: str) -> str:
    """The chart's values.yaml: every default, with the first sentence of its description."""
    head = f"# Made from the chart's schema by charts/generate.py. What each value means: docs/reference/{chart}.md\n"
    return head + "".join(_values(schema, schema, 0))


def _values(schema: Schema, root: Schema, depth: int) -> Iterator[str]:
    for name, given in schema["properties"].items():
        value = default(given, root)
        if value is _NONE or value is None:
            continue
        prop, indent = resolve(given, root), "  " * depth
        if depth == 0:
            yield "\n"
        sentence = re.split(r"(?<=\.)\s", " ".join(prop.get("description", "").split()), maxsplit=1)[0]
        yield from (f"{indent}# {line}\n" for line in textwrap.wrap(sentence, 116 - len(indent)))
        if "properties" in prop and "default" not in prop:
            yield f"{indent}{name}:\n"
            yield from _values(prop, root, depth + 1)
        else:
            yield f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}\n"


def reference(schema: Schema, chart: str) -> str:
    """The reference page: a table of the values that stand alone, then one for each group."""
    parts = [f"# {schema['title']}: its values", schema["description"].strip(), "Made from the chart's schema."]
    values = {name: resolve(prop, schema) for name, prop in schema["properties"].items()}
    if chart == "chart-team":
        parts.append("The other keys are the team file's: [team-file.md](team-file.md).")
        values = {"platform": values["platform"]}
    groups = {name: prop for name, prop in values.items() if "properties" in prop}
    if alone := {name: prop for name, prop in values.items() if name not in groups}:
        parts += ["## Values that stand alone", _table(alone, schema, "")]
    for name, prop in groups.items():
        parts += [f"## {name}", _text(prop), _table(prop["properties"], schema, f"{name}.")]
    return "\n\n".join(parts) + "\n"


def _table(properties: Schema, root: Schema, prefix: str) -> str:
    return "\n".join(["| value | type | default | meaning |", "|---|---|---|---|", *_rows(properties, root, prefix)])


def _rows(properties: Schema, root: Schema, prefix: str) -> Iterator[str]:
    for name, given in properties.items():
        prop = resolve(given, root)
        if prop.get("properties") and "default" not in prop:
            yield from _rows(prop["properties"], root, f"{prefix}{name}.")
            continue
        value = default(prop, root)
        shown = "" if value is _NONE else f"`{json.dumps(value, ensure_ascii=False)}`"
        cells = (f"`{prefix}{name}`", _kind(prop), shown, _text(prop))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(prop: Schema) -> str:
    if "enum" in prop:
        return " ".join(f"`{item}`" for item in prop["enum"])
    kind = prop.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _text(prop: Schema) -> str:
    return " ".join(prop.get("description", "").split())


def readme(schema: Schema, name: str) -> str:
    """The chart's README: what it makes, how it is installed, its top-level values."""
    intro = (ROOT / "charts" / name / "README.in.md").read_text().strip()
    rows = [
        f"| `{key}` | {_text(resolve(prop, schema)).split('. ')[0].rstrip('.')} |"
        for key, prop in schema["properties"].items()
    ]
    link = f"Every value: [docs/reference/chart-{name}.md](../../docs/reference/chart-{name}.md)."
    return "\n".join([intro, "", "## Values", "", "| value | meaning |", "|---|---|", *rows, "", link, ""])


def generated() -> dict[Path, str]:
    """Each generated file with what it must hold."""
    files = {}
    for name, schema in (("team", team_schema()), ("airflow", airflow_schema())):
        folder = ROOT / "charts" / name
        closed = {k: v for k, v in schema.items() if not k.startswith("x-")}
        files[folder / "values.schema.json"] = json.dumps(closed, indent=1, ensure_ascii=False) + "\n"
        files[folder / "values.yaml"] = values_yaml(schema, f"chart-{name}")
        files[folder / "README.md"] = readme(schema, name)
        files[ROOT / f"docs/reference/chart-{name}.md"] = reference(schema, f"chart-{name}")
    return files


def main(check: bool) -> int:
    """Write the files, or only compare them."""
    stale = {path: text for path, text in generated().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        print(f"{path.relative_to(ROOT)}: {'out of date: run charts/generate.py' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
