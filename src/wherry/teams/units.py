"""Durations and Kubernetes quantities, as they are written in a team file."""

import re
from datetime import timedelta
from decimal import Decimal

_DURATION = re.compile(r"([0-9]{1,6})([smh])", re.ASCII)
_SECONDS = {"h": 3600, "m": 60, "s": 1}

_QUANTITY = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", re.ASCII)
_FACTOR = {
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T", "P"))},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), start=1)},
}


def parse_duration(text: str) -> timedelta:
    """Read `45s`, `30m` or `2h`. Raises ValueError on anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}; write a whole number and s, m or h: 30m")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def format_duration(duration: timedelta) -> str:
    """Write a duration of whole seconds so that `parse_duration` reads it back, in the largest unit that fits."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit, size in _SECONDS.items() if seconds % size == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_quantity(text: str) -> Decimal:
    """Read a Kubernetes quantity (`250m` CPU, `512Mi` memory) in cores or bytes. Raises ValueError on anything else.

    Exponents (`1e3`) and the suffixes n, u and E, which Kubernetes also reads, are refused: here they are slips.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"not a quantity: {text!r}; write a number and a suffix: 250m, 2, 512Mi, 4Gi")
    return Decimal(match[1]) * _FACTOR[match[2] or ""]
