"""The local cluster, as far as it can be tested without one; tests/e2e has the rest."""
