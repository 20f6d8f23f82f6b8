# mypy: allow-subclassing-any
"""A shorter way to construct Cosmos' Kubernetes operators, for DAGs of thousands of them."""

from inspect import signature
from types import SimpleNamespace
from typing import Any, Final

from airflow.sdk import BaseOperator
from cosmos.operators.base import AbstractDbtBase
from cosmos.operators.kubernetes import DbtKubernetesBaseOperator

_DBT: Final = frozenset(signature(AbstractDbtBase.__init__).parameters) - {"self", "kwargs"}
_AIRFLOW: Final = frozenset(signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}


class LeanOperator(DbtKubernetesBaseOperator):
    """Comes before Cosmos' base in the order of constructors, and hands each half its arguments, as that one does.

    That one asks `inspect` for three signatures an operator, and has Airflow's pod operator set ninety fields of a pod
    that `wherry.pod` makes: two thirds of a whole DAG's parsing. Cosmos' half is set on a plain object first: for each
    attribute an operator looks for a converter, an eighth of the rest. Put it last among a class's bases.
    """

    def __init__(self, *, image: str, namespace: str, profile_config: Any = None, **kwargs: Any) -> None:
        """Take what Cosmos' own takes; of a pod's fields those alone that people are shown."""
        self.profile_config, dbt = profile_config, SimpleNamespace()
        AbstractDbtBase.__init__(dbt, **{name: value for name, value in kwargs.items() if name in _DBT})
        self.__dict__.update(vars(dbt))
        BaseOperator.__init__(self, **{name: value for name, value in kwargs.items() if name in _AIRFLOW})
        self.image, self.namespace = image, namespace
