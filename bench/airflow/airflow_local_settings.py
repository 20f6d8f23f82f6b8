"""The platform's own local settings, and a counter of the Kubernetes API's calls in each task's process.

All arms reach the Kubernetes API through urllib3: one line a call goes into the file that BENCH_CALLS names.
"""

import os
import runpy
from pathlib import Path
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

globals().update(
    {
        name: value
        for name, value in runpy.run_path(os.environ["BENCH_LOCAL_SETTINGS"]).items()
        if not name.startswith("__")
    }
)

_request = HTTPConnectionPool.urlopen


def _counted(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
    dag, run = os.environ.get("AIRFLOW_CTX_DAG_ID"), os.environ.get("AIRFLOW_CTX_DAG_RUN_ID")
    if dag and "/api/v1/" in url:
        with Path(os.environ["BENCH_CALLS"]).open("a") as file:
            file.write(f"{dag}\t{run}\t{method}\t{url.partition('?')[0]}\n")
    return _request(pool, method, url, *args, **kwargs)


setattr(HTTPConnectionPool, "urlopen", _counted)  # noqa: B010 - a method of another's class, replaced
