"""Tests of wherry.graph."""
