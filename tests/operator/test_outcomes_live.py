"""Each thing that can befall a pod, brought about for real: state, tries, what is left, what is recorded."""

import os
import re
import signal
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.operator.conftest import SECRET, World, later
from wherry.teams import Resources


def test_a_node_that_succeeds(world: World, dbt_log: Any) -> None:
    """Success: the log as dbt printed it, the result in XCom and on disk, no pod left, few calls of the API."""
    world.image("print:Running with dbt=1.11", "print:  1 of 1 OK ", "args:", "finish:success=SELECT 3")
    tries = world.until_done()
    assert [one.state for one in tries] == ["success"]
    assert dbt_log()[:3] == ["Running with dbt=1.11", "  1 of 1 OK ", '["build", "--select", "fqn:finance.fct_orders"]']
    result = tries[0].result
    assert result == world.recorded()
    assert (result["outcome"], result["status"], result["results"][0]["rows"]) == ("success", "success", 3)
    assert result["pod"].startswith("finance-fct-orders-")
    assert result["kubernetes_node"]
    assert {"asked", "created", "seen_running", "seen_finished", "pod_created", "pod_started"} <= set(result["times"])
    world.assert_clean()
    assert world.trace() == ["1 began"]
    assert world.apis[0].calls <= 5, "create, watch, log (twice at most), delete"


def test_a_success_that_the_log_tells_is_not_waited_for(world: World, dbt_log: Any) -> None:
    """The try ends with the record's line, before Kubernetes says that the container ended; its pod goes as ever."""
    world.image("print:  1 of 1 OK ", "tell:success=SELECT 3", "sleep:60")
    (done,) = world.until_done()
    assert done.state == "success"
    assert dbt_log()[0] == "  1 of 1 OK "
    assert not [line for line in dbt_log() if "wherry-runner" in line]
    result = done.result
    assert result == world.recorded()
    assert (result["outcome"], result["results"][0]["rows"], result["exit_code"]) == ("success", 3, 0)
    assert {"seen_finished", "pod_started"} <= set(result["times"])
    assert "pod_finished" not in result["times"]
    assert world.trace()[0] == "1 began"
    world.assert_clean()
    world.until(lambda: not world.follows_log(result["pod"]))


@pytest.mark.parametrize("line", ["\x1fwherry-runner: {}", "\x1fwherry-runner: ", "\x1f"])
def test_a_line_that_tells_no_record_is_a_line(world: World, dbt_log: Any, line: str) -> None:
    """Only what the codec takes ends a try."""
    world.image(f"print:{line}", "print:after", "finish:success")
    assert world.until_done()[0].state == "success"
    assert dbt_log()[:2] == [line, "after"]


def test_a_warning_is_a_success(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A test that warns: success, and the warning stands in the log as one."""
    world.image("finish:warn=Got 2 results, configured to warn if != 0")
    tries = world.until_done()
    assert [one.state for one in tries] == ["success"]
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING" and record.name == "dbt"]
    assert told == ["fct_orders: Got 2 results, configured to warn if != 0"]
    assert tries[0].result["outcome"] == "warn"


@pytest.mark.parametrize(
    ("status", "cause"), [("error", "dbt_error"), ("fail", "test_failed"), ("broken", "broken_release")]
)
def test_dbts_own_error_fails_at_once(world: World, status: str, cause: str) -> None:
    """No retry, dbt's message first, and where to look after it."""
    world.image("print:Database Error", f"finish:{status}=column X does not exist")
    tries = world.until_done()
    assert [one.state for one in tries] == ["failed"]
    assert "column X does not exist" in tries[0].error.splitlines()[0]
    assert re.search(rf"\({cause}; pod finance-fct-orders-\w+-1 in namespace team-\d+; ", tries[0].error)
    assert tries[0].result == world.recorded()
    world.assert_clean()


def test_transient_trouble_is_tried_again(world: World) -> None:
    """The warehouse was away on the first try: the second succeeds, and both are recorded."""
    world.image("finish:transient=connection refused", later={2: ["finish:success"]})
    tries = world.until_done()
    assert [one.state for one in tries] == ["up_for_retry", "success"]
    assert [record["outcome"] for record in world.records()] == ["transient", "success"]
    assert world.trace() == ["1 began", "2 began"]
    world.assert_clean()


@pytest.mark.parametrize(
    ("fault", "cause"), [("evict", "evicted"), ("oom", "out_of_memory"), ("lost-node", "lost"), ("status-gone", "gone")]
)
def test_a_pod_that_kubernetes_loses_is_tried_again(world: World, fault: str, cause: str) -> None:
    """Whatever takes the pod away in the middle of its work: said so, tried again, nothing left."""
    world.image("print:working", "sleep:1" if fault == "status-gone" else "sleep:30", later={2: ["finish:success"]})
    world.cluster.faults.add(fault, seconds=0.5, namespace=world.plan.namespace)
    tries = world.until_done()
    assert [one.state for one in tries] == ["up_for_retry", "success"]
    assert [record["outcome"] for record in world.records()] == [cause, "success"]
    assert cause in tries[0].error
    world.assert_clean()


@pytest.mark.parametrize(("fault", "cause"), [("image-pull", "image"), ("create-failed", "config")])
def test_a_pod_that_cannot_start_is_tried_again(world: World, fault: str, cause: str) -> None:
    """It isn't waited for in vain: the reason is told at once, and the next try may have more luck."""
    world.image("finish:success")
    world.cluster.faults.add(fault, namespace=world.plan.namespace)
    tries = world.until_done()
    assert [one.state for one in tries] == ["up_for_retry", "success"]
    assert [record["outcome"] for record in world.records()] == [cause, "success"]
    world.assert_clean()


def test_a_missing_image_is_named(world: World) -> None:
    """The image that nobody pushed stands in the message, on every try."""
    tries = world.until_done(retries=1)
    assert [one.state for one in tries] == ["up_for_retry", "failed"]
    assert world.plan.image in tries[1].error
    world.assert_clean()


def test_a_missing_secret_is_named(world: World) -> None:
    """The Secret that nobody made stands in the message."""
    world.image("finish:success")
    world.plan = replace(world.plan, secret="nobody-made-it")
    tries = world.until_done(retries=0)
    assert [one.state for one in tries] == ["failed"]
    assert "nobody-made-it" in tries[0].error
    assert tries[0].result["outcome"] == "config"
    world.assert_clean()


def test_out_of_memory_gets_more_until_the_ceiling(world: World) -> None:
    """256 Mi, then 512 Mi, then the ceiling of 600 Mi; there it fails and says so, though retries are left."""
    world.plan = replace(world.plan, resources=Resources(memory="64Mi", memory_limit="64Mi"), memory_ceiling="150Mi")
    world.image("allocate:400", "sleep:30")
    tries = world.until_done(retries=9)
    assert [one.state for one in tries] == ["up_for_retry", "up_for_retry", "failed"]
    assert [one.result["memory_limit"] for one in tries] == ["64Mi", "128Mi", "150Mi"]
    assert "the next try gets 128Mi" in tries[0].error
    assert "150Mi, the most that its team allows" in tries[2].error
    world.assert_clean()


def test_enough_memory_on_the_next_try(world: World) -> None:
    """A node that needs twice what it was given succeeds on its second try."""
    world.plan = replace(world.plan, resources=Resources(memory="64Mi", memory_limit="96Mi"))
    world.image("allocate:110", "sleep:1", "finish:success")
    assert [one.state for one in world.until_done()] == ["up_for_retry", "success"]


def test_the_deadline_fails_with_the_timeout_named(world: World) -> None:
    """Kubernetes ends the pod, dbt cancels its query within the grace, and nobody tries again."""
    world.plan = replace(world.plan, timeout=timedelta(seconds=1))
    world.image("sleep:60")
    tries = world.until_done()
    assert [one.state for one in tries] == ["failed"]
    assert tries[0].error.startswith("model.finance.fct_orders ran longer than its timeout of 1s")
    assert world.trace() == ["1 began", "1 cancelled"]
    world.assert_clean()


def test_airflows_own_timeout_ends_the_pod_too(world: World) -> None:
    """An execution_timeout that comes first: same outcome, and dbt cancelled before the task ended."""
    world.image("sleep:60")
    alarm = later(world, lambda: os.kill(os.getpid(), signal.SIGALRM))  # what Airflow's timer sends
    tries = world.until_done(execution_timeout=timedelta(minutes=1))
    assert [one.state for one in tries] == ["failed"]
    assert tries[0].result["outcome"] == "deadline"
    assert world.trace() == ["1 began", "1 cancelled"]
    assert world.pods() == []
    alarm.join()


def test_a_full_quota_is_waited_for(world: World) -> None:
    """No room: the task waits, and runs when there is some."""
    world.cluster.call(
        lambda cluster: cluster.create(
            "resourcequotas",
            world.plan.namespace,
            {"metadata": {"name": "quota"}, "spec": {"hard": {"pods": "0"}}},
        )
    )
    world.image("finish:success")
    world.plan = replace(world.plan, startup_timeout=timedelta(seconds=2))
    tries = world.until_done(retries=0)
    assert [one.state for one in tries] == ["failed"]
    assert tries[0].result["outcome"] == "quota"
    assert "exceeded quota" in tries[0].error
    world.cluster.call(lambda cluster: cluster.delete("resourcequotas", world.plan.namespace, "quota", {}))
    assert world.run().state == "success"


def test_a_namespace_that_is_missing_is_refused(world: World) -> None:
    """What another try can't mend fails at once, with Kubernetes' words."""
    world.plan = replace(world.plan, namespace="nobody-made-it")
    tries = world.until_done()
    assert [one.state for one in tries] == ["failed"]
    assert "nobody-made-it" in tries[0].error
    assert tries[0].result["outcome"] == "refused"


@pytest.mark.parametrize(("ending", "code"), [("exit:0", 0), ("exit:1", 1), ("garbage:{", 0)])
def test_an_end_without_a_result(world: World, ending: str, code: int) -> None:
    """Exit code or not: without a readable record nobody knows what happened, so it is tried again."""
    world.image(ending)
    tries = world.until_done(retries=0)
    assert tries[0].result["outcome"] == "no_record"
    assert f"exit code {code}" in tries[0].error
    world.assert_clean()


def test_no_secret_leaves_the_pod(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The Secret's value reaches the pod's environment, and no log, result, rendered field or error."""
    world.image("finish:error=boom")
    tried = world.run()
    told = [tried.error, str(tried.result), str(world.supervisor.said), caplog.text]
    assert not [text for text in told if SECRET in text]


def test_a_pod_that_never_gets_a_node_says_so(world: World) -> None:
    """Waiting has an end: the start-up timeout, with the reason that Kubernetes gives."""
    world.image("finish:success")
    world.plan = replace(world.plan, startup_timeout=timedelta(seconds=1))
    world.cluster.faults.add("slow-start", seconds=30, namespace=world.plan.namespace)
    tries = world.until_done(retries=0)
    assert tries[0].result["outcome"] == "never_started"
    assert "ContainerCreating" in tries[0].error
    world.assert_clean()


def test_a_full_disk_does_not_fail_the_task(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A result that can't be kept is still in XCom, and the log says what went wrong."""
    world.image("finish:success")
    (world.folder / "results").write_text("no folder")
    tried = world.run()
    assert (tried.state, tried.result["outcome"]) == ("success", "success")
    assert "the result could not be kept" in caplog.text


def test_a_pod_that_cannot_be_deleted_is_told(world: World, dbt_log: Any) -> None:
    """The task keeps its success; its log says which pod is left."""
    world.image("finish:success")
    world.cluster.faults.add("error", status=500, count=1000, verb="delete")
    tried = world.run()
    assert tried.state == "success"
    assert any(tried.result["pod"] in line and "could not be deleted" in line for line in dbt_log())
    world.cluster.faults.clear()


def test_an_xcom_that_cannot_be_pushed_decides_nothing(world: World) -> None:
    """dbt's error stays one that isn't tried again, whatever Airflow's API says to the result."""
    world.image("finish:error=boom")
    world.supervisor.refuses_xcoms = True
    tried = world.run()
    assert tried.state == "failed"
    assert tried.error.startswith("fct_orders: boom")
