"""What no string of a team file may hold, whatever its key: secrets, templates, characters that can't be seen. Pure."""

import re
import unicodedata

ADVICE = "no secret value in a team file: put it into the team's Kubernetes Secret"

_SECRET_WORDS = re.compile(
    r"(^|_)(apikey|credentials?|pass(phrase|wd|words?)|privatekey|pwd|secret(key|s)?|token"
    r"|(access|api|encryption|private|secret|signing|ssh)_keys?)(_|$)"
)
_INVISIBLE = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")

_SECRET_VALUES = {
    "a private key or certificate": re.compile(r"-----BEGIN "),
    "an AWS access key": re.compile(r"(AKIA|ASIA)[0-9A-Z]{16}"),
    "a URL with credentials": re.compile(r"https?://[^/\s@]+@|://[^/\s@:]*:[^/\s@]*@", re.IGNORECASE),
    "a GitHub or GitLab token": re.compile(r"(gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{10}"),
    "a Slack token": re.compile(r"xox[a-z]-[A-Za-z0-9-]{8}|hooks\.slack\.com/services/"),
    "a Google API key": re.compile(r"AIza[A-Za-z0-9_-]{30}"),
    "a JSON Web Token": re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ"),
    "a password in a connection string": re.compile(r"\b(password|pwd|passphrase)\s*=", re.IGNORECASE),
}


def secret_kind(text: str) -> str | None:
    """The kind of secret that a text looks like."""
    return next((kind for kind, pattern in _SECRET_VALUES.items() if pattern.search(text)), None)


def is_secret_key(key: str) -> bool:
    """Whether a key's words say that its value is secret."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]+", "_", key).lower()
    return bool(_SECRET_WORDS.search(words))


def bad_text(text: str) -> tuple[str, str] | None:
    """What is wrong with a text, and what was expected; None when it is clean. The text itself is never shown."""
    if kind := secret_kind(text):
        return f"what looks like {kind}", ADVICE
    if any(mark in text for mark in ("{{", "{%", "{#")):
        return (
            "a Jinja template",
            "plain text: a team's strings are never rendered, so that no team runs code in Airflow",
        )
    invisible = next((character for character in text if unicodedata.category(character) in _INVISIBLE), None)
    if invisible is not None:
        return f"the invisible character U+{ord(invisible):04X}", "text on one line, of visible characters only"
    return None
