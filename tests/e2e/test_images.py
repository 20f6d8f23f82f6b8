"""What the images' builds made in advance is what their processes use."""

import json
import subprocess

import pytest

from tests.e2e.conftest import skip_without_cluster
from wherry.cluster import images
from wherry.cluster.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
skip_without_cluster()

# Imports what a node uses, and says where the modules came from.
_PROGRAM = """
import json, sys
from wherry_runner import bundle
bundle.use()
from wherry_runner.ready import get_ready
get_ready(["postgres", "snowflake"])
loaders = [type(getattr(module, "__loader__", None)).__name__ for module in sys.modules.values()]
print(json.dumps([bundle.used().unchanged, loaders.count("_Loader"), loaders.count("SourceFileLoader")]))
"""


def test_a_process_of_the_runners_image_imports_out_of_its_bundle() -> None:
    """All but what Python itself starts with: the files are, in the last stage, as they were when it was made."""
    image = images.build("dbt-runner", Settings.read())
    command = ["docker", "run", "--rm", "--entrypoint", "python", image, "-c", _PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    unchanged, kept, found = json.loads(done.stdout)
    assert unchanged
    assert kept > 1000
    assert found < 40
