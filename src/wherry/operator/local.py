# mypy: allow-subclassing-any
"""Cosmos' local and virtualenv operators: Airflow's worker runs dbt, on a release's own files, with one team's secrets.

Nothing isolates the teams here: every task may read what the worker may read. For laptops, and where the platform says.
"""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.log import mask_secret
from cosmos.config import ProfileConfig
from cosmos.constants import InvocationMode
from cosmos.operators.local import (
    DbtBuildLocalOperator,
    DbtLocalBaseOperator,
    DbtRunLocalOperator,
    DbtSeedLocalOperator,
    DbtSnapshotLocalOperator,
    DbtSourceLocalOperator,
    DbtTestLocalOperator,
)
from cosmos.operators.virtualenv import DbtVirtualenvBaseOperator

from wherry import settings
from wherry.errors import WherryError
from wherry.operator.operators import dbt_arguments, task_try
from wherry.pod import PodPlan, environment
from wherry.secrets import team_secret

_DBT_ERROR: Final = 1  # dbt's exit code for nodes that failed; 2 is for what kept it from running them
_SECRET_NAME: Final = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|KEY|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
_SHORTEST_LINE: Final = 16  # characters, of a value of several lines, e.g. a private key
_INHERITED: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


class LocalOperator(DbtLocalBaseOperator):
    """Runs one dbt command in a process of the worker, by the dbt of another environment.

    `plan` says whose node it is and `content` where the release's files are. dbt gets the team's secrets and none of
    Airflow's environment. Nothing is rendered by Jinja, and no secret is a template field.
    """

    template_fields: Sequence[str] = ("arguments", "compiled_sql")
    template_fields_renderers: ClassVar[dict[str, str]] = {"compiled_sql": "sql"}

    def __init__(self, *, plan: PodPlan, content: Path, **kwargs: Any) -> None:
        """Take what is known when the DAG is parsed. Raises WherryError where the release has no files."""
        profiles = content / "profiles" / "profiles.yml"
        name, target = _profile(profiles)
        ours = {
            "project_dir": str(content / "project"),
            "profile_config": ProfileConfig(name, target, profiles_yml_filepath=profiles),
            "dbt_executable_path": str(settings.dbt_executable()),
            "invocation_mode": InvocationMode.SUBPROCESS,
            "emit_datasets": False,
            "install_deps": False,
            "partial_parse": False,
        }
        super().__init__(**kwargs | ours)
        self.plan = plan
        self.arguments = dbt_arguments(self)

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render nothing: a team's text is data."""

    def _do_render_template_fields(self, *_: Any, **__: Any) -> None:
        """Render nothing, for a mapped task and for the compiled SQL too."""

    def get_env(self, context: Context) -> dict[str, Any]:
        """Nothing: what dbt gets is put together when it is started, and never part of the operator."""
        del context
        return {}

    def run_command(self, cmd: list[str], env: dict[str, Any], context: Context, **kwargs: Any) -> Any:
        """Run dbt with the team's secrets, masked in the log from now on. Raises AirflowFailException without them."""
        try:
            secret = team_secret(self.plan.team)
        except WherryError as error:
            raise AirflowFailException(str(error)) from None
        _mask(secret)
        env = {**_base_environment(), **secret, **environment(self.plan, task_try(context))}
        return DbtLocalBaseOperator.run_command(self, cmd, env, context, **kwargs)

    def calculate_openlineage_events_completes(self, *_: Any, **__: Any) -> bool:
        """Do nothing: it would put dbt's environment, the secrets in it, into Airflow's."""
        return False

    def handle_exception_subprocess(self, result: Any) -> None:
        """Fail for good where nodes failed, as a pod does; try again where dbt couldn't run them."""
        if result.exit_code == _DBT_ERROR:
            raise AirflowFailException("dbt failed; its words are in the log above")
        if result.exit_code:
            raise AirflowException(f"dbt ended with exit code {result.exit_code}; its words are in the log above")

    def on_kill(self) -> None:
        """Let dbt cancel its query."""
        if self.subprocess_hook.sub_process and self.subprocess_hook.sub_process.poll() is None:
            self.subprocess_hook.send_sigint()


class VirtualenvOperator(LocalOperator, DbtVirtualenvBaseOperator):
    """Runs one dbt command in a virtual environment that Airflow's worker makes once for each list of requirements."""

    template_fields: Sequence[str] = LocalOperator.template_fields

    def __init__(self, **kwargs: Any) -> None:
        """Take what a local operator takes."""
        super().__init__(**kwargs | {"py_requirements": ["--requirement", str(settings.dbt_requirements())]})

    def run_command(self, cmd: list[str], env: dict[str, Any], context: Context, **kwargs: Any) -> Any:
        """Run dbt beside others: Cosmos' own way holds the environment's lock until dbt has ended."""
        self._py_bin = self._python()
        return LocalOperator.run_command(self, cmd, env, context, **kwargs)

    def _python(self) -> str:
        """The environment's Python; the first task that asks for it makes it. Raises AirflowFailException."""
        requirements = settings.dbt_requirements()
        try:
            name = sha256(requirements.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise AirflowFailException(
                f"{requirements}: {error.strerror}; expected pinned requirements: in images/dbt-runner, run "
                "`uv export --frozen --no-dev --no-emit-project -o requirements.txt`, or set WHERRY_DBT_REQUIREMENTS"
            ) from None
        folder = settings.virtualenvs_folder() / name
        self.virtualenv_dir, complete = folder, folder / ".complete"
        with _locked(folder.with_suffix(".lock")):
            if not complete.exists():
                self._prepare_virtualenv()
                complete.touch()
        return str(folder / "bin" / "python")

    def on_kill(self) -> None:
        """Let dbt cancel its query; Cosmos would leave it to itself."""
        LocalOperator.on_kill(self)


def _mask(secret: Mapping[str, str]) -> None:
    """Keep out of Airflow's log and rendered fields what the names say is secret: not a port or a host."""
    for value in (value for name, value in secret.items() if _SECRET_NAME.search(name)):
        mask_secret(value)
        for line in value.splitlines():
            if len(line) >= _SHORTEST_LINE:
                mask_secret(line)


def _base_environment() -> Mapping[str, str]:
    """What a program needs anywhere: nothing of Airflow's, whose variables hold its database's password and keys."""
    known = {
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": "false",
        "HOME": tempfile.gettempdir(),
        "LANG": "C.UTF-8",
        "PATH": os.defpath,
    }
    return known | {name: os.environ[name] for name in _INHERITED if name in os.environ}


@lru_cache(maxsize=1000)
def _profile(file: Path) -> tuple[str, str]:
    """The profile's name and its one target. A release's files never change, so it is read once."""
    try:
        ((name, profile),) = yaml.safe_load(file.read_text()).items()
    except OSError as error:
        raise WherryError(
            f"{file}: {error.strerror}; expected the release's files here: Airflow runs dbt on them itself "
            "(execution local or virtualenv)"
        ) from None
    return name, profile["target"]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class LocalDbtBuildOperator(LocalOperator, DbtBuildLocalOperator):
    """`dbt build` by the worker: the node and its tests."""


class LocalDbtRunOperator(LocalOperator, DbtRunLocalOperator):
    """`dbt run` by the worker."""


class LocalDbtSeedOperator(LocalOperator, DbtSeedLocalOperator):
    """`dbt seed` by the worker."""


class LocalDbtSnapshotOperator(LocalOperator, DbtSnapshotLocalOperator):
    """`dbt snapshot` by the worker."""


class LocalDbtSourceOperator(LocalOperator, DbtSourceLocalOperator):
    """`dbt source freshness` by the worker."""


class LocalDbtTestOperator(LocalOperator, DbtTestLocalOperator):
    """`dbt test` by the worker."""


class VirtualenvDbtBuildOperator(VirtualenvOperator, DbtBuildLocalOperator):
    """`dbt build` in a virtual environment."""


class VirtualenvDbtRunOperator(VirtualenvOperator, DbtRunLocalOperator):
    """`dbt run` in a virtual environment."""


class VirtualenvDbtSeedOperator(VirtualenvOperator, DbtSeedLocalOperator):
    """`dbt seed` in a virtual environment."""


class VirtualenvDbtSnapshotOperator(VirtualenvOperator, DbtSnapshotLocalOperator):
    """`dbt snapshot` in a virtual environment."""


class VirtualenvDbtSourceOperator(VirtualenvOperator, DbtSourceLocalOperator):
    """`dbt source freshness` in a virtual environment."""


class VirtualenvDbtTestOperator(VirtualenvOperator, DbtTestLocalOperator):
    """`dbt test` in a virtual environment."""
