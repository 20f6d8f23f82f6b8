"""What people read about a DAG or a task in Airflow. A team's words are shown as they are: no markup, no HTML. Pure."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wherry.release.model import Release
from wherry.release.plan import one_line
from wherry.release.policy import Refusal
from wherry.teams import Execution

_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()#+-.!|~:@$=\"'"})
_MOST_REFUSALS = 20
_HOW: Mapping[Execution, str] = {
    "kubernetes": "each node runs in its own pod",
    "watcher_kubernetes": "one pod builds all nodes",
    "local": "Airflow's worker runs dbt, which isolates no team",
    "virtualenv": "Airflow's worker runs dbt in a virtual environment, which isolates no team",
}


def plain(text: str, most: int = 200) -> str:
    """`text` as Markdown that shows just its characters: one line, at most `most` of them, every sign escaped."""
    return escape(one_line(text, most), quote=False).translate(_ESCAPED)


def task_doc(node: Mapping[str, Any] | None) -> str | None:
    """A dbt node's description and where it is written; None for a task that is no node's."""
    if node is None:
        return None
    lines = [plain(node.get("description") or ""), f"dbt node: {plain(node['unique_id'])}"]
    return "\n\n".join([*filter(None, lines), f"file: {plain(node.get('original_file_path') or '')}."])


def dag_doc(release: Release, execution: Execution, refusals: Sequence[Refusal]) -> str:
    """What the DAG is, whose it is, which release it runs, and what its dbt authors asked for and didn't get."""
    team, project = release.settings.team, release.settings.project
    commit = release.git_commit or "unknown (not from git, or with uncommitted changes)"
    facts = {
        "Owners": ", ".join(team.owners),
        "Slack": team.slack or "",
        "Release": release.id,
        "Commit": commit,
        "dbt": f"{release.dbt_version}, {release.adapter} {release.adapter_version}",
        "Image": release.image,
        "Tests": project.tests,
        "Namespace": team.namespace,
    }
    lines = [
        f"dbt project **{plain(release.project)}** of team **{plain(team.name)}**; {_HOW[execution]}.",
        "",
    ]
    lines += [f"- {name}: {plain(value, 300)}" for name, value in facts.items() if value]
    return "\n".join([*lines, *_refused(refusals), ""])


def broken_doc(reason: str) -> str:
    """Why a release isn't run."""
    return f"**This release can't be run.** {plain(reason, 2000)}\n\nRelease the project again.\n"


def _refused(refusals: Sequence[Refusal]) -> list[str]:
    if not refusals:
        return []
    more = len(refusals) - _MOST_REFUSALS
    return [
        "",
        "**Ignored: settings that dbt authors may not make.**",
        "",
        *(f"- {plain(str(refusal), 400)}" for refusal in refusals[:_MOST_REFUSALS]),
        *([f"- and {more} more"] if more > 0 else []),
    ]
