"""The forms of single values: names that Kubernetes and Airflow accept, schedules, git addresses, quantities.

Each form is an annotated type. It refuses with what was expected, and shows its pattern in the JSON schema.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StrictInt,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from wherry.teams.units import format_duration, parse_duration, parse_quantity


def refuse(expected: str) -> NoReturn:
    """Fail a pydantic validation; `expected` says what should have been there."""
    raise PydanticCustomError("expected", "expected {expected}", {"expected": expected})


@dataclass(frozen=True, slots=True)
class Form:
    """A string of at most `most` characters that matches `pattern` as a whole and passes `check`."""

    pattern: str
    expected: str
    most: int = 63
    check: Callable[[str], bool] = lambda _: True

    def _validate(self, value: str) -> str:
        if len(value) > self.most:
            refuse(f"at most {self.most} characters: {self.expected}")
        if not re.fullmatch(self.pattern, value, re.ASCII) or not self.check(value):
            refuse(self.expected)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the form after the type."""
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Show the form to editors."""
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "maxLength": self.most}


def _no_reserved_namespace(name: str) -> bool:
    reserved = {"default", "airflow", "wherry", "argocd", "cert-manager", "openshift"}
    return name not in reserved and not name.startswith(("kube-", "openshift-")) and not name.endswith("-system")


def _safe_path(path: str) -> bool:
    """No way out of the repository, into `.git`, or into a command's options."""
    parts = path.split("/")
    return not any(part in ("", "..", ".git") or part.startswith(("-", "~")) for part in parts)


def _safe_ref(ref: str) -> bool:
    """The rules of `git check-ref-format` that a pattern doesn't say."""
    return ".." not in ref and "//" not in ref and not ref.endswith(("/", ".", ".lock")) and "/." not in ref


def _safe_select(select: str) -> bool:
    return not any(word.startswith("-") for word in select.split())


_DNS_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_GIT_PATH = r"(?!.*\.\.)[A-Za-z0-9_~][A-Za-z0-9._~/-]*"

TeamName = Annotated[
    str, Form(r"[a-z]([a-z0-9-]*[a-z0-9])?", "lower-case letters, digits and '-', starting with a letter: finance", 40)
]
Namespace = Annotated[
    str,
    Form(
        r"[a-z]([a-z0-9-]*[a-z0-9])?",
        "a Kubernetes namespace of the team's own (not default, airflow, kube-* or *-system): team-finance",
        63,
        _no_reserved_namespace,
    ),
]
ObjectName = Annotated[
    str,
    Form(_DNS_LABEL, "a Kubernetes object's name: lower-case letters, digits and '-', starting and ending with no '-'"),
]
Key = Annotated[
    str, Form(r"[a-z][a-z0-9_]*", "a name of lower-case letters, digits and '_', starting with a letter", 60)
]
Email = Annotated[
    str, Form(rf"[A-Za-z0-9][A-Za-z0-9._%+-]*@{_HOST}\.[A-Za-z]{{2,}}", "an email address: ana@example.com", 254)
]
SlackChannel = Annotated[
    str, Form(r"#[a-z0-9][a-z0-9_-]*", "a Slack channel in quotes, with its '#': \"#finance-data\"", 80)
]
EnvName = Annotated[str, Form(r"[A-Z][A-Z0-9_]*", "an environment variable's name in capitals: SNOWFLAKE_HOST", 100)]
Account = Annotated[str, Form(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a Snowflake account identifier: acme-eu1", 255)]
Host = Annotated[str, Form(_HOST, "a host name or address without scheme and port: db.example.com", 253)]
Identifier = Annotated[str, Form(r"[A-Za-z_][A-Za-z0-9_$]*", "an SQL identifier: letters, digits, '_' and '$'", 255)]
Login = Annotated[str, Form(r"[A-Za-z0-9_][A-Za-z0-9_.@$-]*", "a login name: FINANCE_DBT", 255)]
RepositoryPath = Annotated[
    str,
    Form(
        r"[A-Za-z0-9._/-]+", "a relative path inside the repository, without '..' and '~': dbt/finance", 500, _safe_path
    ),
]
GitUrl = Annotated[
    str,
    Form(
        rf"https://{_HOST}(:[0-9]{{1,5}})?/{_GIT_PATH}"
        rf"|ssh://([A-Za-z0-9_]+@)?{_HOST}(:[0-9]{{1,5}})?/{_GIT_PATH}"
        rf"|[A-Za-z0-9_]+@{_HOST}:{_GIT_PATH}",
        "an https:// or ssh address of a git repository, without a password: https://github.com/acme/dbt-finance.git",
        500,
    ),
]
GitRef = Annotated[str, Form(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*", "a git branch, tag or commit: main", 200, _safe_ref)]
TargetName = Annotated[str, Form(r"[A-Za-z_][A-Za-z0-9_-]*", "a dbt target's name: prod")]
Selector = Annotated[
    str, Form(r"[^\s{}][^{}]*", "a dbt selector without options ('-...'): tag:heavy", 500, _safe_select)
]
AssetUri = Annotated[
    str,
    Form(
        r"(?!airflow:)[a-z][a-z0-9+.-]*://[!-z|~]+",
        "an asset's URI with a scheme: snowflake://acme-eu1/RAW/ORDERS",
        1500,
    ),
]

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


def _is_schedule(text: str) -> bool:
    """Five cron fields that happen at some time, the same at each reading, or one of Airflow's presets."""
    from croniter import croniter

    if text in PRESETS:
        return True
    if len(text.split()) != 5 or re.search(r"(?<![a-z])[hr](?![a-z])", text, re.IGNORECASE):
        return False  # croniter would take a sixth field for seconds, and R and H for a random time
    try:
        return bool(croniter(text, datetime(2024, 1, 1)).get_next(datetime))
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return False  # croniter lets more than its own errors out for some texts


Schedule = Annotated[
    str,
    Form(
        r"@[a-z]+|[0-9A-Za-z*/,#? -]+",
        f'five cron fields that happen at some time ("0 6 * * *"), {", ".join(PRESETS)}, or null',
        100,
        _is_schedule,
    ),
]


def _read_duration(value: Any) -> timedelta:
    expected = "a duration between 1s and 168h, with its unit: 30m"
    try:
        duration = value if isinstance(value, timedelta) else parse_duration(value)
    except (ValueError, TypeError):
        refuse(expected)
    if not timedelta(seconds=1) <= duration <= timedelta(hours=168):
        refuse(expected)
    return duration


Duration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,6}[smh]$", "examples": ["30s", "30m", "2h"]}),
]


def _read_cpu(value: Any) -> str:
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    try:
        cores = parse_quantity(text)
    except ValueError:
        cores = None
    if cores is None or text[-1] not in "m0123456789" or cores < parse_quantity("1m") or cores % parse_quantity("1m"):
        refuse("CPU cores, in steps of 1m: 250m, 0.5 or 2")
    return text


def _read_memory(value: Any) -> str:
    try:
        size = parse_quantity(value)
    except (ValueError, TypeError):
        size = None
    if size is None or value.endswith("m") or size < parse_quantity("16Mi"):
        refuse("an amount of memory with its suffix, at least 16Mi: 512Mi or 4Gi")
    return str(value)


Cpu = Annotated[
    str,
    BeforeValidator(_read_cpu),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?m?$"}, {"type": "number"}],
            "examples": ["250m", "2"],
        }
    ),
]
Memory = Annotated[
    str,
    BeforeValidator(_read_memory),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([kMGTP]|[KMGTP]i)$", "examples": ["512Mi", "4Gi"]}
    ),
]

Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Slots = Annotated[StrictInt, Field(ge=1, le=1000)]
Retries = Annotated[StrictInt, Field(ge=0, le=10)]
Priority = Annotated[StrictInt, Field(ge=1, le=1000)]
Threads = Annotated[StrictInt, Field(ge=1, le=16)]
Pods = Annotated[StrictInt, Field(ge=1, le=10_000)]
WarmPods = Annotated[StrictInt, Field(ge=0, le=100)]
