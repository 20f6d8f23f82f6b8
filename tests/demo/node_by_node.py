"""Run by the runner's Python: each node of a project alone, in dbt's order, as one pod a node does.

Prints one JSON object: how each result of each invocation ended, and which tests no invocation took.
"""

import json
import sys

from dbt.cli.main import dbtRunner


def main(*common: str) -> None:
    """Build node by node with the selection that a pod gets, then the tests that are left, each alone."""
    manifest = dbtRunner().invoke(["parse", *common]).result
    runner = dbtRunner(manifest=manifest)
    waiting = {k: n for k, n in manifest.nodes.items() if n.resource_type in ("model", "seed", "snapshot")}
    tests = {k: n for k, n in manifest.nodes.items() if n.resource_type == "test"} | dict(manifest.unit_tests)
    bad: list[str] = []
    built = len(waiting)

    def invoke(verb: str, node: object, *options: str) -> None:
        selection = "fqn:" + ".".join(node.fqn)  # type: ignore[attr-defined]
        for result in runner.invoke([verb, "--select", selection, *options, *common]).result.results:
            tests.pop(result.node.unique_id, None)
            if result.status not in ("success", "pass"):
                bad.append(f"{selection}: {result.node.name}: {result.status}")

    while waiting:
        ready = [k for k, n in waiting.items() if not waiting.keys() & set(n.depends_on_nodes)]
        for key in ready:
            invoke("build", waiting.pop(key), "--indirect-selection", "cautious")
    alone = sorted(node.name for node in tests.values())
    for node in list(tests.values()):
        invoke("test", node)
    print(json.dumps({"nodes": built, "bad": bad, "alone": alone}))


if __name__ == "__main__":
    main(*sys.argv[1:])
