"""What a pod that is forked off a process which has imported `wherry_runner.preload` has still to do: counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import WRITTEN, Release

# Forks a process that has imported the preload, once for each node; each says what running its node still took.
_FORK = (
    """
import json, os, sys, threading
import wherry_runner.preload
from wherry_runner import main

threads, before = threading.active_count(), set(sys.modules)
"""
    + WRITTEN
    + """
for job in json.loads(sys.argv[1]):
    if pid := os.fork():
        os.waitpid(pid, 0)
        continue
    os.environ |= job["env"]
    code = main.run(job["words"], dict(os.environ))
    imported = sorted(set(sys.modules) - before)
    with open(job["out"], "w") as out:
        json.dump({"code": code, "threads": threads, "written": written, "imported": imported}, out)
    sys.stdout.flush()
    os._exit(0)
"""
)
PODS = [
    ("seed.shop.raw_orders", "seed"),
    ("model.shop.orders", "build"),
    ("model.shop.customers", "build"),
    ("model.shop.orders", "test"),
]


@pytest.fixture(scope="module")
def forked(shop: Release, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """What each pod found, all of them forked off one process."""
    folder = tmp_path_factory.mktemp("forked")
    jobs = [
        {
            "words": [verb, "--select", f"fqn:shop.{node.split('.')[2]}"],
            "env": shop.environment(node),
            "out": str(folder / str(number)),
        }
        for number, (node, verb) in enumerate(PODS)
    ]
    command = [sys.executable, "-c", _FORK, json.dumps(jobs)]
    subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True)
    return {pod: json.loads((folder / str(number)).read_text()) for number, pod in enumerate(PODS)}


@pytest.mark.parametrize("pod", PODS, ids="-".join)
def test_a_forked_pod_finds_everything_ready(forked: dict[tuple[str, str], Any], pod: tuple[str, str]) -> None:
    """No contract's methods are compiled again and hardly a module is imported; no thread is there to be forked."""
    found = forked[pod]
    assert (found["code"], found["threads"], found["written"]) == (0, 1, [])
    assert len(found["imported"]) <= 12, found["imported"]
