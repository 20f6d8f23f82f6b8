"""Where the demo's parts keep their files, and the settings by which wherry's own code finds them."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
EMULATOR_PYTHON = REPOSITORY / "images/snowflake-emulator/.venv/bin/python"
RUNNER_PYTHON = REPOSITORY / "images/dbt-runner/.venv/bin/python"


@dataclass(frozen=True)
class Layout:
    """The paths under one state folder; team files and dbt projects are those of `repository`."""

    state: Path
    repository: Path = REPOSITORY

    @property
    def teams(self) -> Path:
        """The team files."""
        return self.repository / "k8s/teams"

    @property
    def dags(self) -> Path:
        """The DAG files; they are the platform's own, whatever the teams bring."""
        return REPOSITORY / "dags"

    @property
    def releases(self) -> Path:
        """The released projects."""
        return self.state / "releases"

    @property
    def results(self) -> Path:
        """The result records, one file a try."""
        return self.state / "results"

    @property
    def images(self) -> Path:
        """The images of the embedded cluster."""
        return self.state / "images"

    @property
    def kubeconfig(self) -> Path:
        """How to reach the embedded cluster; written by it once it listens."""
        return self.state / "kubeconfig"

    @property
    def emulator_address(self) -> Path:
        """The emulator's host:port; written by it once it listens."""
        return self.state / "snowflake-emulator.address"

    def environment(self) -> dict[str, str]:
        """The settings that `wherry.settings` reads."""
        return {
            "WHERRY_TEAMS": str(self.teams),
            "WHERRY_RELEASES": str(self.releases),
            "WHERRY_RESULTS": str(self.results),
            "WHERRY_IMAGE_STORE": str(self.images),
            "WHERRY_RUNNER_PYTHON": str(RUNNER_PYTHON),
            "KUBECONFIG": str(self.kubeconfig),
        }
