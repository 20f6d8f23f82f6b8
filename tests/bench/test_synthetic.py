"""Synthetic projects: the same each time, shaped like real ones."""

import json

import pytest
import yaml

from bench import synthetic
from bench.project import grow


def parents_before(models: tuple[synthetic.Model, ...]) -> bool:
    """Whether each model reads from models that come before it only."""
    seen: set[str] = set()
    for model in models:
        if not seen.issuperset(model.parents):
            return False
        seen.add(model.name)
    return True


@pytest.mark.parametrize("size", [10, 333, 3000])
def test_a_layered_project_is_realistic(size: int) -> None:
    """It has the size asked for, three layers of folders, depth, and no cycle; the same size gives the same models."""
    models = synthetic.layered(size)
    assert models == synthetic.layered(size)
    assert len({model.name for model in models}) == size
    assert {model.layer for model in models} == {"staging", "intermediate", "marts"}
    assert parents_before(models)
    depth: dict[str, int] = {}
    for model in models:
        depth[model.name] = 1 + max((depth[parent] for parent in model.parents), default=0)
    assert 3 <= max(depth.values()) <= 60
    assert max(len(model.parents) for model in models) <= 4


def test_its_files_are_a_dbt_project() -> None:
    """Each model has its SQL with a ref for each parent, and in its folder's properties two tests and a description."""
    models = synthetic.layered(40)
    files = dict(synthetic.files(models))
    config = yaml.safe_load(files["dbt_project.yml"])
    assert set(config["models"]["synthetic"]) == {"staging", "intermediate", "marts"}
    described = {}
    for path, text in files.items():
        if path.endswith("_models.yml"):
            described |= {model["name"]: model for model in yaml.safe_load(text)["models"]}
    for model in models:
        sql = files[f"{model.folder}/{model.name}.sql"]
        assert all(f"ref('{parent}')" in sql for parent in model.parents)
        assert described[model.name]["description"]
        assert described[model.name]["columns"][0]["data_tests"] == ["unique", "not_null"]


def test_a_wide_project_has_no_edges_and_a_chain_has_all_in_one_line() -> None:
    """What is measured beside layers: nothing that waits, and nothing that runs at once."""
    assert not any(model.parents for model in synthetic.wide(20))
    chain = synthetic.chain(5)
    assert [len(model.parents) for model in chain] == [0, 1, 1, 1, 1]
    assert parents_before(chain)


def test_all_but_a_trunks_chain_wait_for_what_fails() -> None:
    """So that five nodes run one after the other in a DAG of any size, and no more."""
    models = synthetic.trunk(20)
    assert (len({model.name for model in models}), models[: synthetic.TRUNK]) == (20, synthetic.chain(5))
    assert (models[5].parents, models[5].fails) == (("chain_links__link_00004",), True)
    assert {model.parents for model in models[6:]} == {(models[5].name,)}
    assert [model.fails for model in models].count(True) == 1


def test_a_grown_manifest_is_like_the_one_it_grew_from() -> None:
    """Every model and test of the larger project is there, like dbt's own of the small one, with its own parents."""
    known, wanted = synthetic.layered(10), synthetic.layered(30)
    small = {
        node["unique_id"]: node
        for model in known
        for node in (
            {
                "unique_id": f"model.synthetic.{model.name}", "resource_type": "model", "name": model.name,
                "path": f"{model.folder}/{model.name}.sql", "fqn": ["synthetic", model.layer, model.area, model.name],
                "depends_on": {"nodes": []}, "config": {"tags": []}, "tags": [],
            },
            {
                "unique_id": f"test.synthetic.unique_{model.name}_id.abc", "resource_type": "test",
                "fqn": ["synthetic", model.layer, model.area, f"unique_{model.name}_id"],
                "depends_on": {"nodes": [f"model.synthetic.{model.name}"]},
            },
        )
    }  # fmt: skip
    full = grow({"nodes": small, "macros": {"m": 1}}, known, wanted)
    assert len(full["nodes"]) == 60
    assert full["macros"] == {"m": 1}
    for model in wanted:
        node = full["nodes"][f"model.synthetic.{model.name}"]
        assert node["depends_on"]["nodes"] == [f"model.synthetic.{parent}" for parent in model.parents]
        assert node["fqn"] == ["synthetic", model.layer, model.area, model.name]
        test = full["nodes"][f"test.synthetic.unique_{model.name}_id.abc"]
        assert test["depends_on"]["nodes"] == [node["unique_id"]]
        assert full["child_map"][node["unique_id"]][0] == test["unique_id"] or model.name in json.dumps(
            full["child_map"]
        )
