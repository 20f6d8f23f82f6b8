"""What a watch makes of an API server that comes and goes."""

from collections.abc import Iterator
from typing import Any

import pytest

from wherry.operator.kube import ApiError, Pod
from wherry.operator.watch import CHANGED, DELETED, changes

POD: Pod = {"metadata": {"name": "orders", "uid": "1", "resourceVersion": "7"}}


class Api:
    """Answers each call with the next of what it was given."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def watch(self, *_: object) -> Iterator[tuple[str, Pod]]:
        yield self._next()

    def read(self, _: str) -> Pod:
        return self._next()

    def _next(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def forbidden() -> ApiError:
    return ApiError(403, "Forbidden", 'pods "orders" is forbidden: User "airflow" cannot get resource "pods"')


def test_an_api_server_that_has_just_started_is_borne_with() -> None:
    """Until its roles are loaded it forbids everything, also what it allowed a minute ago: the pod is still ours."""
    api = Api(forbidden(), forbidden(), POD, ("DELETED", POD))
    assert list(changes(api, POD, lambda: 60, 30)) == [(CHANGED, POD), (DELETED, POD)]  # type: ignore[arg-type]


def test_a_right_that_was_taken_away_is_said_in_the_end() -> None:
    """After as long as we are patient."""
    api = Api(forbidden(), forbidden(), forbidden())
    with pytest.raises(ApiError, match="cannot get resource"):
        list(changes(api, POD, lambda: 60, 0))  # type: ignore[arg-type]


def test_another_refusal_is_raised_at_once() -> None:
    """A wrong request stays wrong."""
    with pytest.raises(ApiError, match="BadRequest"):
        list(changes(Api(ApiError(400, "BadRequest", "no")), POD, lambda: 60, 30))  # type: ignore[arg-type]
