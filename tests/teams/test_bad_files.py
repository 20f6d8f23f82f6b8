"""Each mistake that a team file can hold is reported in whole, at its own line, and nothing else is."""

import os
import stat
from pathlib import Path

import pytest

from wherry.teams import TeamFileError, load_team, load_teams

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad").glob("*.yaml"))


def problems(path: Path) -> list[str]:
    """What loading a file reports, without the file's name."""
    with pytest.raises(TeamFileError) as caught:
        load_team(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:").replace(":", ": ", 1).replace(":  ", ": ", 1) for line in lines]


def expected(path: Path) -> list[str]:
    """The `# expect: <line>: <message>` comments at the head of a fixture."""
    lines = path.read_text().split("\n")
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_mistake_is_named_at_its_line(path: Path) -> None:
    """A bad file's report is word for word what its head says."""
    assert expected(path)
    assert problems(path) == expected(path)


def test_there_are_many_bad_files() -> None:
    """The fixtures are found."""
    assert len(BAD) >= 40


@pytest.mark.parametrize("path", [path for path in BAD if path.stem.startswith("secret-")], ids=lambda path: path.stem)
def test_no_message_shows_a_secret(path: Path) -> None:
    """The value of what looks like a secret is in no message."""
    report = "\n".join(problems(path))
    for secret in ("hunter2", "sometoken", "abc", "AKIA", "BEGIN", "eyJ", "ghp_", "hooks.slack.com/services/T0"):
        assert secret not in report


@pytest.mark.parametrize(
    ("content", "report"),
    [
        (b"", "1: found an empty file, expected a team: name, namespace, owners, ..."),
        (b"name: a\nslack: \xff\n", "2: found bytes that aren't UTF-8, expected a file saved as UTF-8"),
        ("name: a\n".encode("utf-16"), "1: found bytes that aren't UTF-8, expected a file saved as UTF-8"),
        (b"# " + b"x" * 256 * 1024, "1: found more than 256 KiB, expected a team file of a few KiB"),
        (b"a: 1\nb: %x\n", "2: found character '%' that cannot start any token, expected a YAML file"),
    ],
)
def test_unreadable_content(tmp_path: Path, content: bytes, report: str) -> None:
    """What isn't a YAML file of sane size is one problem, at its line."""
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    assert problems(path) == [report]


def test_what_is_not_a_file(tmp_path: Path) -> None:
    """A file that isn't there, a folder and a pipe are refused, and reading none of them waits."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    kind = ["1: found something that isn't a regular file, expected a YAML file"]
    assert problems(tmp_path / "pipe.yaml") == kind
    assert problems(tmp_path / "folder.yaml") == kind
    assert problems(tmp_path / "none.yaml") == [
        "1: found a file that can't be read (No such file or directory), expected a readable YAML file"
    ]


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read says so (also where the tests run as root, who may read all)."""
    path = tmp_path / "a.yaml"
    path.touch(mode=stat.S_IWUSR)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert problems(path) == ["1: found a file that can't be read (Permission denied), expected a readable YAML file"]


def test_path_with_a_nul_character() -> None:
    """A path that no file can have is a problem and not a traceback."""
    with pytest.raises(TeamFileError, match="a path with a NUL character"):
        load_team(Path("a\0.yaml"))


def test_link_out_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's path may not leave the repository by a symbolic link, nor go round in a circle of them."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "out").symlink_to(tmp_path)
    (repository / "circle").symlink_to("circle")
    text = (HERE / "good" / "least.yaml").read_text()
    monkeypatch.chdir(repository)
    path = tmp_path / "least.yaml"
    for folder in ("out", "circle"):
        path.write_text(text.replace("path: .", f"path: {folder}"))
        assert problems(path) == [
            f"6: projects.a.path: found '{folder}', expected a folder that no symbolic link leads out of"
        ]


@pytest.mark.parametrize(
    ("folder", "key", "value", "files"),
    [
        ("same-namespace", "namespace", "team-shared", ("a.yaml", "b.yaml")),
        ("same-name", "name", "a", ("a.yaml", "a.yml")),
    ],
)
def test_clash_between_two_teams(folder: str, key: str, value: str, files: tuple[str, str]) -> None:
    """What two teams claim is reported in the second one's file, and names the first one."""
    first, second = (HERE / "bad_folders" / folder / file for file in files)
    with pytest.raises(TeamFileError) as caught:
        load_teams(first.parent)
    line = 1 if key == "name" else 2
    assert str(caught.value) == (
        f"{second}:{line}: {key}: found '{value}', expected a {key} that no other team has: {first} has this one"
    )


def test_asset_that_no_project_updates() -> None:
    """A typo in another team's asset, or one's own asset, is a mistake: the DAG would never run, or never rest."""
    folder = HERE / "bad_folders" / "no-such-producer"
    with pytest.raises(TeamFileError) as caught:
        load_teams(folder)
    assert str(caught.value).split("\n") == [
        f"{folder / 'b.yaml'}:{line}: projects.shop.assets[{index}]: found '{uri}', "
        "expected a public model of another project here: wherry://a/shop/<model>"
        for line, index, uri in [
            (19, 1, "wherry://a/shops/orders"),
            (20, 2, "wherry://c/shop/orders"),
            (21, 3, "wherry://b/shop/orders"),
            (22, 4, "wherry://a/orders"),
        ]
    ]


def test_another_teams_asset_in_a_file_read_alone(tmp_path: Path) -> None:
    """One file says nothing about other teams; of its own projects it does."""
    text = (HERE / "good" / "least.yaml").read_text()
    path = tmp_path / "least.yaml"
    path.write_text(text.replace("warehouse: main}", "warehouse: main, assets: ['wherry://other/shop/orders']}"))
    assert load_teams(tmp_path)[0].projects["a"].assets == ("wherry://other/shop/orders",)
    path.write_text(text.replace("warehouse: main}", "warehouse: main, assets: ['wherry://least/shop/orders']}"))
    with pytest.raises(TeamFileError, match="there is none"):
        load_teams(tmp_path)


def test_problems_of_all_files_are_reported_together() -> None:
    """Loading a folder doesn't stop at its first bad file."""
    with pytest.raises(TeamFileError) as caught:
        load_teams(HERE / "bad")
    assert {Path(problem.file).name for problem in caught.value.problems} == {path.name for path in BAD}
    assert str(caught.value).endswith(f"... and {len(caught.value.problems) - 100} more")


def test_folder_without_team_files(tmp_path: Path) -> None:
    """An empty folder and one that isn't there are mistakes of the caller's path, and say so."""
    with pytest.raises(TeamFileError) as caught:
        load_teams(tmp_path)
    assert str(caught.value) == f"{tmp_path}:1: found no team file, expected a folder with one YAML file a team"
    with pytest.raises(TeamFileError, match=r"found a folder that can't be read \(No such file or directory\)"):
        load_teams(tmp_path / "none")
