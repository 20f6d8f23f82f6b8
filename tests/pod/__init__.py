"""Pods, as they are asked for."""
