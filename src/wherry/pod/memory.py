"""More memory for the try after an out-of-memory kill."""

from wherry.teams import parse_quantity

_MEBI = 2**20


def more_memory(had: str, ceiling: str) -> str | None:
    """Return twice the memory, at most the ceiling, in Mi; None when the pod had the ceiling already."""
    most = parse_quantity(ceiling)
    if parse_quantity(had) >= most:
        return None
    return f"{int(min(2 * parse_quantity(had), most) // _MEBI)}Mi"
