"""What `helm test` runs: ask the API server how Airflow's components are, until all are healthy or the time is up."""

import json
import sys
import time
import urllib.request

WAIT_SECONDS = 180


def unhealthy(base: str) -> dict[str, str]:
    """The components that aren't healthy, with their state. A component that was never started has none."""
    with urllib.request.urlopen(f"{base}/api/v2/monitor/health", timeout=10) as answer:  # noqa: S310
        health = json.load(answer)
    return {name: part["status"] for name, part in health.items() if part["status"] not in ("healthy", None)}


def main(base: str) -> int:
    """Print the verdict; 0 when all are healthy."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            wrong: object = unhealthy(base)
        except OSError as error:
            wrong = error
        if not wrong:
            print("all components are healthy")
            return 0
        print(wrong, flush=True)
        if time.monotonic() > deadline:
            return 1
        time.sleep(5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
