"""The one exception that a person is meant to read."""


class WherryError(Exception):
    """Something that a person can mend: a mistake in a file, a missing tool, a port that is taken.

    The message says where (file, line, key), what was found, what was expected and what to do.
    The command line prints it without a traceback and exits with 1. Nothing has changed when it is raised.
    """
