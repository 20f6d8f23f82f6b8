"""Run by the runner's Python: parse a project with dbt, then say what dbt selects for each command that it is given.

Writes the manifest's path on a line, reads one line of JSON `[command]`, writes `{command: [unique_id]}`. A command is
dbt's arguments in JSON.
"""

import contextlib
import io
import json
import sys
from typing import Any

from dbt.cli.main import dbtRunner

TYPES = {
    "build": ["model", "seed", "snapshot", "test", "unit_test"],
    "run": ["model"],
    "seed": ["seed"],
    "snapshot": ["snapshot"],
    "test": ["test", "unit_test"],
    "source": ["source"],
}


def invoke(runner: dbtRunner, arguments: list[str]) -> Any:
    """dbt's own result, without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        answer = runner.invoke(["--quiet", "--log-level-file=none", *arguments, *sys.argv[1:]])
    if not answer.success:
        raise SystemExit(f"{arguments}: {answer.exception}")
    return answer.result


def listed(runner: dbtRunner, arguments: list[str]) -> list[str]:
    """The unique ids of what the command would run."""
    verb = arguments[0]
    flags = [word for word in arguments[1:] if word != "freshness"]
    types = [word for kind in TYPES[verb] for word in ("--resource-type", kind)]
    found = invoke(runner, ["ls", "--output", "json", "--output-keys", "unique_id", *types, *flags])
    return [json.loads(line)["unique_id"] for line in found or []]


manifest = invoke(dbtRunner(), ["parse"])
print(f"{sys.argv[-1]}/manifest.json", flush=True)
with_manifest = dbtRunner(manifest=manifest)
commands = json.loads(sys.stdin.readline())
print(json.dumps({command: listed(with_manifest, json.loads(command)) for command in commands}))
