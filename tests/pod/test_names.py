"""Names, labels and memory: what Kubernetes takes, whatever the ids are."""

import re
from dataclasses import replace

import pytest

from tests.pod.examples import FINANCE, FIRST
from wherry.pod import instance_hash, instance_selector, more_memory, pod_name
from wherry.pod.names import label_value

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
HOSTILE = [
    "",
    "é" * 300,
    "../../etc",
    "-._",
    "$(PASSWORD)",
    "a\nb",
    "x" * 250,
    "manual__2026-01-01T00:00:00+00:00",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_id_gives_a_valid_name_and_label(text: str) -> None:
    """Whatever run, task and node are called, the name is a DNS label and each label's value is valid."""
    attempt = replace(FIRST, run_id=text, task_id=text, try_number=10_000)
    name = pod_name(replace(FINANCE, node=f"model.p.{text}"), attempt)
    assert DNS_LABEL.fullmatch(name)
    assert len(name) <= 63
    assert LABEL_VALUE.fullmatch(label_value(text))
    assert len(label_value(text)) <= 63


def test_the_name_reads_well() -> None:
    """A person recognises the team, the node and the try."""
    assert re.fullmatch(r"finance-fct-orders-[0-9a-f]{10}-1", pod_name(FINANCE, FIRST))


def test_a_pod_for_many_nodes_is_named_by_its_task() -> None:
    """Without a node the task's id stands in the name."""
    assert pod_name(replace(FINANCE, node=""), replace(FIRST, task_id="all.tests")).startswith("finance-all-tests-")


@pytest.mark.parametrize(
    "other",
    [{"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}, {"map_index": 0}, {"try_number": 2}],
)
def test_each_try_has_a_name_of_its_own(other: dict[str, object]) -> None:
    """Anything that makes it another try makes it another name."""
    assert pod_name(FINANCE, FIRST) != pod_name(FINANCE, replace(FIRST, **other))


def test_ids_that_join_to_the_same_text_stay_two() -> None:
    """The hash keeps the ids apart, wherever one ends and the next begins."""
    assert instance_hash(replace(FIRST, dag_id="a", run_id="bc")) != instance_hash(
        replace(FIRST, dag_id="ab", run_id="c")
    )


def test_tries_share_their_selector() -> None:
    """The selector of a task instance finds the pods of all its tries, and of no other."""
    assert instance_selector(FIRST) == instance_selector(replace(FIRST, try_number=7, clears=3))
    assert instance_selector(FIRST) != instance_selector(replace(FIRST, map_index=1))


def test_label_values_that_were_changed_stay_two() -> None:
    """Two texts that clean to the same don't become one label."""
    assert label_value("a/b") != label_value("a:b")
    assert label_value("plain_value.1") == "plain_value.1"


@pytest.mark.parametrize(
    ("had", "ceiling", "expected"),
    [
        ("512Mi", "4Gi", "1024Mi"),
        ("1Gi", "1500Mi", "1500Mi"),
        ("4Gi", "4Gi", None),
        ("8Gi", "4Gi", None),
        ("1G", "4G", "1907Mi"),
    ],
)
def test_memory_doubles_up_to_the_ceiling(had: str, ceiling: str, expected: str | None) -> None:
    """Twice as much, no more than the ceiling, and nothing when that was had already."""
    assert more_memory(had, ceiling) == expected
