"""Team files to teams. Every mistake is reported at once, each as `file:line: key: found X, expected Y`."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wherry.teams.assets import SCHEME, public_model
from wherry.teams.document import Document, Problem, TeamFileError, read_document
from wherry.teams.explain import explain
from wherry.teams.hygiene import ADVICE, bad_text, is_secret_key
from wherry.teams.models import Team
from wherry.teams.rules import broken_references
from wherry.teams.words import Location, names, show

SUFFIXES = (".yaml", ".yml")


def load_team(path: Path) -> Team:
    """Read one team file. Raises TeamFileError with all its problems."""
    team, _ = _load(path)
    return team


def load_teams(folder: Path) -> tuple[Team, ...]:
    """Read every team file of a folder, sorted by file name. Raises TeamFileError with all files' problems."""
    return load_team_files(team_files(folder))


def load_team_files(paths: Iterable[Path]) -> tuple[Team, ...]:
    """Read team files that one Airflow serves, and check what has to be unique among them. Raises TeamFileError."""
    loaded: list[tuple[Team, Document]] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            loaded.append(_load(path))
        except TeamFileError as error:
            problems += error.problems
    problems += [*_clashes(loaded), *_missing_producers(loaded)]
    if problems:
        raise TeamFileError(problems)
    return tuple(team for team, _ in loaded)


def team_files(folder: Path) -> tuple[Path, ...]:
    """The team files of a folder. Raises TeamFileError where there is none."""
    try:
        files = tuple(sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES))
    except OSError as error:
        found = f"a folder that can't be read ({error.strerror})"
        raise TeamFileError([Problem(str(folder), 1, "", found, "a folder with one YAML file a team")]) from None
    if not files:
        raise TeamFileError([Problem(str(folder), 1, "", "no team file", "a folder with one YAML file a team")])
    return files


def _load(path: Path) -> tuple[Team, Document]:
    document = read_document(path)
    unclean = dict(_unclean(document))
    data, likes = _resolve_likes(document)
    problems = [*document.problems, *unclean.values(), *likes, *_elsewhere(path, document)]
    try:
        team = Team.model_validate(data)
    except ValidationError as error:
        problems += (
            document.problem(rule.location, show(rule.found), rule.expected) for rule in broken_references(data)
        )
        problems += explain(document, error, known=unclean)
    else:
        if not problems:
            return team, document
    raise TeamFileError(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))


def _unclean(document: Document) -> Iterator[tuple[Location, Problem]]:
    """Each place that holds what no team file may hold. The team's own `secret` is only a Secret's name."""
    for at, value in _walk(document.data, ()):
        if at and isinstance(at[-1], str) and (bad := bad_text(at[-1])):
            yield at, document.problem(at, f"{bad[0]} as a key", bad[1])
        elif at and isinstance(at[-1], str) and at != ("secret",) and is_secret_key(at[-1]):
            yield at, document.problem(at, "a key for a secret value", ADVICE)
        elif isinstance(value, str) and (bad := bad_text(value)):
            yield at, document.problem(at, *bad)


def _walk(value: Any, at: Location) -> Iterator[tuple[Location, Any]]:
    yield at, value
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in steps:
        yield from _walk(item, (*at, step))


def _elsewhere(path: Path, document: Document) -> Iterator[Problem]:
    """What the models can't know: the file's own name, and where a path in the repository really leads."""
    name = document.data.get("name")
    if isinstance(name, str) and name != path.stem:
        yield document.problem(("name",), show(name), f"{path.stem}, as the file is called")
    projects = document.data.get("projects")
    for key, project in projects.items() if isinstance(projects, dict) else ():
        folder = project.get("path") if isinstance(project, dict) else None
        if isinstance(folder, str) and _linked_out(folder):
            yield document.problem(
                ("projects", key, "path"), show(folder), "a folder that no symbolic link leads out of"
            )


def _linked_out(folder: str) -> bool:
    """Whether a path from the current directory, the repository, leads out of it by a link."""
    path = Path(folder)
    if path.is_absolute() or ".." in path.parts:
        return False  # the models say so already
    try:
        return not path.resolve().is_relative_to(Path.cwd().resolve())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return True


def _resolve_likes(document: Document) -> tuple[dict[str, Any], list[Problem]]:
    """The data with each `like: other` replaced by the other warehouse's keys under its own."""
    warehouses = document.data.get("warehouses")
    if not isinstance(warehouses, dict):
        return document.data, []
    problems: list[Problem] = []
    resolved: dict[str, Any] = {}
    for name in warehouses:
        layers, wrong = _layers(name, warehouses)
        problems += [document.problem(("warehouses", name, "like"), *wrong)] if wrong else []
        resolved[name] = _merge(layers)
    return {**document.data, "warehouses": resolved}, problems


def _layers(name: str, warehouses: Mapping[str, Any]) -> tuple[list[Any], tuple[str, str] | None]:
    """A warehouse and those that it is like, nearest first; and what is wrong with the chain: (found, expected)."""
    chain = [name]
    while isinstance(warehouse := warehouses[chain[-1]], dict) and "like" in warehouse:
        other = warehouse["like"]
        if not isinstance(other, str) or other not in warehouses:
            others = [key for key in warehouses if key != name]
            return [warehouses[name]], (show(other), f"another warehouse of this file: {names(others)}")
        if other in chain:
            return [warehouses[name]], (
                names([*chain, other], " -> "),
                "a chain that ends in a warehouse with a type",
            )
        if "type" in warehouse:
            return [warehouses[name]], ("like beside type", "one of the two: like takes over the other's type")
        chain.append(other)
    return [warehouses[key] for key in chain], None


def _merge(layers: list[Any]) -> Any:
    """The layers' keys, the nearest layer's first of all. What isn't a mapping is left for the models to refuse."""
    if not isinstance(layers[0], dict):
        return layers[0]
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged |= layer if isinstance(layer, dict) else {}
    return {key: value for key, value in merged.items() if key != "like"}


def _clashes(loaded: list[tuple[Team, Document]]) -> Iterator[Problem]:
    """Names and namespaces that two teams claim. DAG ids and pools are unique where names are: see `dag_id`."""
    for key in ("name", "namespace"):
        first: dict[str, Document] = {}
        for team, document in loaded:
            value = getattr(team, key)
            other = first.setdefault(value, document)
            if other is not document:
                yield document.problem(
                    (key,), show(value), f"a {key} that no other team has: {other.file} has this one"
                )


def _missing_producers(loaded: list[tuple[Team, Document]]) -> Iterator[Problem]:
    """Assets that no project here updates, for which a DAG would wait for ever. A file that is read alone knows no
    other teams' projects."""
    known = {(team.name, project) for team, _ in loaded for project in team.projects}
    for team, document in loaded:
        for name, project in team.projects.items():
            others = known - {(team.name, name)}
            for index, uri in enumerate(project.assets):
                model = public_model(uri)
                alone = len(loaded) == 1 and model is not None and model.team != team.name
                if uri.startswith(SCHEME) and not alone and (model and (model.team, model.project)) not in others:
                    yield document.problem(("projects", name, "assets", index), show(uri), _a_model_of(others))


def _a_model_of(projects: set[tuple[str, str]]) -> str:
    shown = [f"{SCHEME}{team}/{project}/<model>" for team, project in sorted(projects)]
    return f"a public model of another project here: {', '.join(shown[:5]) or 'there is none'}"
