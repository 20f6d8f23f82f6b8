"""Importing this module does once what every pod does at its start: for a process that pods are forked off."""

from wherry_runner.ready import get_ready

get_ready()
