"""The image store: a folder an image, whose image.json says what to run."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Image:
    """What an image brings: entrypoint, environment, working directory.

    `preload` names modules that a Python entrypoint (`python -m MODULE`) imports anyway: the cluster imports them once
    and forks the image's containers, so that a laptop doesn't spend its time on the same imports again and again.
    """

    reference: str
    entrypoint: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = ""
    preload: tuple[str, ...] = ()


class ImageError(Exception):
    """The image can't be had; the message says why, as an event shows it."""


def find_image(store: Path, reference: str) -> Image:
    """Read `<store>/<reference with / and : replaced by _>/image.json`. ImageError when it isn't there or is broken."""
    folder = re.sub("[/:]", "_", reference)
    if folder in ("", ".", ".."):
        raise ImageError(f'couldn\'t parse image reference "{reference}"')
    path = store / folder / "image.json"
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        return Image(
            reference,
            tuple(data.get("entrypoint") or ()),
            dict(data.get("env") or {}),
            data.get("workdir") or "",
            tuple(data.get("preload") or ()),
        )
    except FileNotFoundError:
        raise ImageError(f'failed to pull image "{reference}": not found in the image store (no {path})') from None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ImageError(f'failed to pull image "{reference}": {path} can\'t be read: {error}') from None
