"""Which files of a project go into a release."""

import os
from pathlib import Path

import pytest

from wherry.release import ReleaseError, project
from wherry.release.project import read_project

KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 4 + "\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a dbt project at dbt/p."""
    write(tmp_path / "dbt/p/dbt_project.yml", "name: p\nprofile: p\n")
    write(tmp_path / "dbt/p/models/a.sql", "select 1")
    return tmp_path


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(root: Path) -> list[str]:
    return [str(file.path) for file in read_project(root / "dbt/p", root).files]


def test_output_and_hidden_files_stay_out(root: Path) -> None:
    """dbt's output and a profiles.yml are left out at the top; a models folder of the same name is not."""
    for path in (
        "target/manifest.json",
        "logs/dbt.log",
        "profiles.yml",
        ".git/config",
        ".env/dev.env",
        ".vscode/x",
        "__pycache__/x.pyc",
    ):
        write(root / "dbt/p" / path)
    write(root / "dbt/p/models/logs/b.sql")
    write(root / "dbt/p/.dbtignore")
    write(root / "dbt/p/dbt_packages/utils/macros/m.sql")
    write(root / "dbt/p/dbt_packages/utils/target/x.json")
    assert names(root) == [
        ".dbtignore",
        "dbt_packages/utils/macros/m.sql",
        "dbt_project.yml",
        "models/a.sql",
        "models/logs/b.sql",
    ]


@pytest.mark.parametrize("name", [".env", "models/.env.prod", "ci/postgres.env", "keys/rsa_key.p8", "a.PEM", "id_rsa"])
def test_a_file_that_looks_like_a_secret_is_refused(root: Path, name: str) -> None:
    """By name, wherever it lies; the message says which file."""
    write(root / "dbt/p" / name)
    with pytest.raises(ReleaseError, match="looks like a secret") as error:
        names(root)
    assert str(root / "dbt/p" / name) in str(error.value)


def test_a_private_key_is_refused_under_any_name(root: Path) -> None:
    """By content, and without repeating it."""
    write(root / "dbt/p/seeds/notes.txt", KEY)
    with pytest.raises(ReleaseError, match="holds a private key") as error:
        names(root)
    assert "MIIE" not in str(error.value)


def test_an_example_of_an_env_file_is_harmless(root: Path) -> None:
    """`.env.example` is a hidden file like others: left out, not refused."""
    write(root / "dbt/p/.env.example")
    assert names(root) == ["dbt_project.yml", "models/a.sql"]


def test_a_package_may_hold_what_a_project_may_not(root: Path) -> None:
    """Packages are others' work: what looks like a secret in one is left out."""
    write(root / "dbt/p/dbt_packages/utils/ci/test.pem")
    write(root / "dbt/p/dbt_packages/utils/macros/m.sql")
    assert names(root) == ["dbt_packages/utils/macros/m.sql", "dbt_project.yml", "models/a.sql"]


def test_links_stay_inside_the_project(root: Path) -> None:
    """A link to an own file becomes that file; all links that lead elsewhere are refused at once."""
    models = root / "dbt/p/models"
    (models / "b.sql").symlink_to("a.sql")
    assert names(root) == ["dbt_project.yml", "models/a.sql", "models/b.sql"]
    write(root / "dbt/p/.git/config")
    write(root / "outside.sql")
    for name, target in {
        "c.sql": "/etc/passwd",
        "d.sql": "../../../outside.sql",
        "e.sql": "nowhere",
        "f.sql": "../.git/config",
        "g": ".",
    }.items():
        (models / name).symlink_to(target)
    with pytest.raises(ReleaseError) as error:
        names(root)
    assert [line.partition(":")[0].rpartition("/")[2] for line in str(error.value).splitlines()] == [
        "c.sql",
        "d.sql",
        "e.sql",
        "f.sql",
        "g",
    ]


def test_a_local_package_is_baked_in(root: Path) -> None:
    """dbt links a local package: it is copied, but not the project inside it, nor from outside the repository."""
    write(root / "dbt_project.yml", "name: shared")
    write(root / "macros/m.sql")
    packages = root / "dbt/p/dbt_packages"
    packages.mkdir()
    (packages / "shared").symlink_to(root)
    assert "dbt_packages/shared/macros/m.sql" in names(root)
    assert not [name for name in names(root) if name.count("dbt_packages") > 1]
    with pytest.raises(ReleaseError, match="local package inside"):
        read_project(root / "dbt/p", root / "dbt")


def test_special_files_are_refused(root: Path) -> None:
    """A named pipe would block the release for ever."""
    os.mkfifo(root / "dbt/p/models/pipe.sql")
    with pytest.raises(ReleaseError, match="special file"):
        names(root)


def test_too_much_is_refused_with_the_largest_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how much there is, how much may be, and where to look."""
    write(root / "dbt/p/seeds/big.csv", "x" * 2000)
    monkeypatch.setattr(project, "MAX_PROJECT_BYTES", 1000)
    with pytest.raises(ReleaseError, match=r"expected at most 1000 bytes .* the largest is .*big\.csv \(2000 bytes\)"):
        names(root)


def test_a_project_outside_the_repository_is_refused(root: Path) -> None:
    """Neither a path nor a linked folder leads out."""
    write(root / "elsewhere/dbt_project.yml", "name: x\nprofile: x\n")
    (root / "dbt/link").symlink_to(root / "elsewhere")
    with pytest.raises(ReleaseError, match="lies outside"):
        read_project(root / "dbt/link", root / "dbt")


@pytest.mark.parametrize("text", ["name: p", "profile: '{{ env_var(1) }}'", "profile: [a]", "- a", "a: [", "\x00"])
def test_a_profile_must_have_a_plain_name(root: Path, text: str) -> None:
    """The generated profiles.yml carries the name, so it can't be computed."""
    write(root / "dbt/p/dbt_project.yml", text)
    with pytest.raises(ReleaseError, match=r"dbt_project\.yml"):
        names(root)


def test_no_project_is_said_so(root: Path) -> None:
    """A wrong path in the team file is the usual cause."""
    with pytest.raises(ReleaseError, match=r"found no dbt_project\.yml"):
        read_project(root / "dbt", root)


def test_a_file_that_changes_meanwhile_is_refused(root: Path, tmp_path: Path) -> None:
    """What was checked is what is released."""
    found = read_project(root / "dbt/p", root)
    write(root / "dbt/p/models/a.sql", "select 2")
    with pytest.raises(ReleaseError, match="changed while"):
        found.copy(tmp_path / "copy")
