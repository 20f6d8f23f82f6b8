"""DAGs out of releases: Cosmos renders, the team's settings decide how each node runs."""

from wherry.graph.load import load_dags

__all__ = ["load_dags"]
