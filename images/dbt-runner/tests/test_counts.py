"""What one node's pod reads doesn't grow with its project: counts, which no busy machine can blur."""

from __future__ import annotations

import pytest
from conftest import Release, make_release
from wherry_runner import slices

SIZE = 40


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return a release of models in one line, each with two tests; nothing of it is run."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "models").mkdir()
    (folder / "dbt_project.yml").write_text("{name: chain, version: 1.0.0, config-version: 2, profile: shop}")
    described = "".join(
        f"  - name: link_{n:02}\n    columns: [{{name: id, data_tests: [unique, not_null]}}]\n" for n in range(SIZE)
    )
    (folder / "models" / "schema.yml").write_text(f"version: 2\nmodels:\n{described}")
    for n in range(SIZE):
        source = f"from {{{{ ref('link_{n - 1:02}') }}}}" if n else ""
        (folder / "models" / f"link_{n:02}.sql").write_text(f"select 1 as id {source}")
    return make_release(folder, tmp_path_factory.mktemp("release"), {})


def test_a_pod_loads_its_node_its_parents_and_its_tests(chain: Release) -> None:
    """Of 40 models and 80 tests, a node in the middle loads itself, its one parent and its two tests."""
    folder = chain.folder / "slices"
    for n in range(1, SIZE):
        members = slices.unpack(slices.node_path(folder, f"model.chain.link_{n:02}").read_bytes())["members"]
        assert len(members) == 4


def test_a_pod_reads_as_much_whatever_the_projects_size(chain: Release) -> None:
    """The last node's slice is no larger than the second's, and what all pods read names no node."""
    folder = chain.folder / "slices"
    sizes = [slices.node_path(folder, f"model.chain.link_{n:02}").stat().st_size for n in range(1, SIZE)]
    assert max(sizes) == min(sizes) <= 12_000
    for common in (slices.INDEX, slices.SHARED):
        assert b"link_" not in (folder / common).read_bytes()
