"""Keeps secret values out of what is printed and reported."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TextIO
from urllib.parse import quote, quote_plus

from wherry.results.codec import MARK

MASK: Final = "*****"
_SECRET_NAME: Final = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|KEY|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
_SHORTEST: Final = 4  # characters; anything shorter would mask half of the log and hide nothing
_SHORTEST_LINE: Final = 16  # of a value of several lines, e.g. a private key, which dbt may indent
_BORING: Final = {"true", "false", "none", "null"}


class Masker:
    """Replaces every known form of the secret values by `*****`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """Take as secret what the names in `env` say is one: DBT_ENV_SECRET_*, *PASSWORD*, *TOKEN*, *KEY* and so on."""
        values = {value for name, value in env.items() if _SECRET_NAME.search(name) and not name.startswith("WHERRY_")}
        forms = {form for value in values for form in _forms(value)}
        # The longest first, so that a secret that holds another one is masked whole.
        pattern = "|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))
        self._pattern = re.compile(pattern) if pattern else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text


class MaskedStream:
    """A text stream that masks what is written through it, a write at a time, and flushes at once.

    What goes through it can't be taken for the line of a record either.
    """

    def __init__(self, stream: TextIO, mask: Masker) -> None:
        """Write to `stream` what `mask` leaves."""
        self._stream = stream
        self._mask = mask

    def write(self, text: str) -> int:
        """Write the text without secrets; dbt hands over one whole message a call."""
        self._stream.write(self._mask(text).replace(MARK, "\ufffd"))
        self._stream.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of them so."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _forms(value: str) -> Iterator[str]:
    """Yield the value as it may turn up in a message: raw, escaped, URL-quoted, base64, or line by line."""
    bare = value.strip()
    if len(bare) < _SHORTEST or bare.lower() in _BORING:
        return
    for form in {value, bare}:
        yield form
        yield from {json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1], repr(form)[1:-1]}
        yield from {quote(form), quote(form, safe=""), quote_plus(form)}
        data = form.encode("utf-8", "surrogateescape")
        for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
            yield encoded.decode().rstrip("=")
    yield from (line.strip() for line in bare.splitlines()[1:-1] if len(line.strip()) >= _SHORTEST_LINE)
