"""Figures, and how they are told."""

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bench import nodes, report
from bench.arms import OURS_ARM, STOCK
from bench.figures import OURS, Report, medians_by_stage, of_samples, ratios

SAMPLES = [
    ("node", OURS, "s", 2.0), ("node", "other", "s", 9.0), ("calls", OURS, "calls", 4.0),
    ("node", OURS, "s", 3.0), ("node", "other", "s", 7.5), ("node", OURS, "s", 10.0),
]  # fmt: skip


def task(task_id: str, queued: int, started: int, ended: int) -> dict[str, str]:
    """A task instance as Airflow's API has it; seconds of one minute."""
    at = "2026-01-02T03:04:{:02}+00:00"
    return {"task_id": task_id, "queued_when": at.format(queued), "start_date": at.format(started),
            "end_date": at.format(ended)}  # fmt: skip


def run(
    arm: nodes.Arm, *tasks: dict[str, str], results: tuple[dict[str, object], ...] = (), project: str = "shop"
) -> nodes.Run:
    """A run whose pods made four calls each."""
    return nodes.Run(
        arm=arm, project=project, green=True, tasks=tasks, results=results, calls=4 * len(tasks),
        pods=len(tasks), cpu={"airflow": 3.0, "pods": 5.0}, nodes=2, memory=(30.0, 50.0, 40.0),
    )  # fmt: skip


def test_samples_become_medians_and_ratios() -> None:
    """The same quantity of several arms stands together, and is compared with ours."""
    figures = of_samples(SAMPLES)
    assert [(figure.what, figure.arm, figure.median, figure.spread) for figure in figures] == [
        ("node", OURS, 3.0, (2.0, 10.0)), ("node", "other", 8.25, (7.5, 9.0)), ("calls", OURS, 4.0, (4.0, 4.0)),
    ]  # fmt: skip
    assert [ratio for _, ratio in ratios(figures)] == [None, 2.75, None]


def test_overhead_is_what_the_query_did_not_take() -> None:
    """From queued to ended, less the query; CPU and calls are a node's and a pod's."""
    ours = run(
        OURS_ARM, task("a", 1, 2, 6), task("b", 6, 6, 10), results=({"task_id": "a", "timings": {"query": 0.5}},)
    )
    stock = run(STOCK, task("a.run", 1, 3, 21), task("a.test", 21, 22, 41))
    found = {(what, arm): value for what, arm, _, value in nodes.samples([ours, stock])}
    assert found["shop: overhead of a pod's task", OURS] == 3.5
    assert found["shop: overhead of a pod's task", STOCK.name] == 19.5
    assert found["shop: whole run", STOCK.name] == 40.0
    assert found["shop: CPU a node, Airflow and pods", STOCK.name] == 4.0, "a model and its test are one node"
    assert found["shop: memory of a task's process, not shared", OURS] == 40.0
    assert found["shop: calls of the Kubernetes API a pod", OURS] == 4.0


def test_stages_are_airflows_and_the_records() -> None:
    """Queue and close are Airflow's; what lies between is the record's; an arm without records has one stage for it."""
    results = ({"task_id": "a", "breakdown": {"parse": 1.0, "start": 1.5}},)
    found = nodes.stages([run(OURS_ARM, task("a", 1, 2, 6), results=results), run(STOCK, task("a.run", 1, 3, 21))])
    assert found == {
        OURS: {"queue": 1.0, "parse": 1.0, "start": 1.5, "close": 1.5},
        STOCK.name: {"queue": 2.0, "task": 18.0},
    }
    two = nodes.stages([run(OURS_ARM, task("a", 1, 2, 6)), run(OURS_ARM, task("a", 1, 3, 6), project="other")])
    assert two == {f"shop: {OURS}": {"queue": 1.0, "task": 4.0}, f"other: {OURS}": {"queue": 2.0, "task": 3.0}}
    assert medians_by_stage([{"a": 1.0}, {"a": 3.0, "b": 4.0}, {"a": 2.0}]) == {"a": 2.0, "b": 4.0}


def test_a_report_can_be_read_by_people_programs_and_browsers() -> None:
    """The table has each figure with its ratio, the JSON the same, and the picture is a valid SVG with each stage."""
    stages = {OURS: {"queue": 0.5, "dbt <run>": 1.0}, "stock": {"queue": 0.5, "task": 9.0}}
    whole = Report("title", {"cores": "2"}, of_samples(SAMPLES), stages, ("a remark",))
    out = io.StringIO()
    report.show(whole, Console(file=out, width=120))
    assert "2.75x" in out.getvalue()
    assert "a remark" in out.getvalue()
    assert whole.document()["figures"][0]["samples"] == [2.0, 3.0, 10.0]
    picture = ElementTree.fromstring(report.picture(stages, "where"))
    titles = [element.text for element in picture.iter() if element.tag.endswith("title")]
    assert titles == ["queue: 0.50 s", "dbt <run>: 1.00 s", "queue: 0.50 s", "task: 9.00 s"]


def test_a_pictures_labels_have_their_room() -> None:
    """Each ends where its bar begins, and begins within the picture."""
    name = "jaffle_shop_classic: stock Cosmos, tests inside"
    picture = ElementTree.fromstring(report.picture({name: {"queue": 0.5}}, "where"))
    (label,) = (element for element in picture.iter() if element.text == name)
    assert float(label.attrib["x"]) > 7 * len(name)


@pytest.mark.parametrize(
    ("part", "green", "cut", "counts"),
    [
        (nodes.WHOLE, 9, False, False),
        (nodes.Part(green=5), 5, False, True),
        (nodes.Part(green=5), 4, False, False),
        (nodes.Part(seconds=60), 0, True, False),
        (nodes.Part(seconds=60), 1, True, True),
    ],
)
def test_a_run_counts_in_part(part: nodes.Part, green: int, cut: bool, counts: bool) -> None:
    """One that was cut, by any green node; a red one where so many are green; none without a green node."""
    assert part.counts(green, cut=cut) is counts


def test_numbers_have_three_digits() -> None:
    """No more digits than the measurement is good for."""
    assert [report.number(value) for value in (0.123, 5.0, 12.34, 1234.5)] == ["0.12", "5", "12.3", "1,234"]
