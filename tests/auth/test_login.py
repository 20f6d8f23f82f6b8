"""Who comes from an identity provider, with the chart's own webserver_config.py: groups become roles."""

import json
from pathlib import Path

import pytest

from tests.auth.server import Server
from tests.charts.conftest import CHARTS, TEAMS, Render, one

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def test_groups_decide_at_each_login(server: Server, render: Render, tmp_path: Path):
    """The mapped roles; others in another group the next time. Everybody has Public, which may do nothing."""
    objects = render("airflow", CHARTS / "airflow/ci/everything-values.yaml", set_files=TEAMS)
    config = tmp_path / "webserver_config.py"
    config.write_text(one(objects, "ConfigMap", "-files")["data"]["webserver_config.py"])
    printed = server.run(
        ["login", "lea", "finance-data", "unmapped"],
        ["login", "lea", "CN=growth,OU=data"],
        ["login", "lea", "unmapped"],
        AIRFLOW__FAB__CONFIG_FILE=str(config),
    )
    roles = [json.loads(line) for line in printed.splitlines() if line.startswith("[")]
    assert roles == [["Public", "team-finance"], ["Public", "Viewer", "team-growth"], ["Public"]]
