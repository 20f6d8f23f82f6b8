"""What a pod that is forked off a process which has imported `wherry_runner.preload` has still to do: counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import Release

# Runs one node in the process that has imported the preload, as its fork would, and says what that still took.
_FORK = """
import json, os, sys, threading
import wherry_runner.preload
from mashumaro.core.meta.code.builder import CodeBuilder
from wherry_runner import main

compiled, threads, before = [], threading.active_count(), set(sys.modules)
for name in ("_add_unpack_method_lines", "_add_pack_method_lines"):
    def count(self, *args, _original=getattr(CodeBuilder, name), **kwargs):
        compiled.append(self.cls.__qualname__)
        return _original(self, *args, **kwargs)
    setattr(CodeBuilder, name, count)
code = main.run(sys.argv[1:], dict(os.environ))
imported = sorted(set(sys.modules) - before)
print()
print(json.dumps({"code": code, "threads": threads, "compiled": compiled, "imported": imported}))
"""


@pytest.mark.parametrize(
    ("node", "verb"),
    [
        ("seed.shop.raw_orders", "seed"),
        ("model.shop.orders", "build"),
        ("model.shop.customers", "build"),
        ("model.shop.orders", "test"),
    ],
)
def test_a_forked_pod_finds_everything_ready(shop: Release, node: str, verb: str) -> None:
    """No contract's methods are compiled again and hardly a module is imported; no thread is there to be forked."""
    command = [sys.executable, "-c", _FORK, verb, "--select", f"fqn:shop.{node.split('.')[2]}"]
    env = {**os.environ, **shop.environment(node)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["code"], found["threads"], found["compiled"]) == (0, 1, [])
    assert len(found["imported"]) <= 12, found["imported"]
