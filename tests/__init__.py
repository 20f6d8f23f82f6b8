"""Tests of wherry."""
