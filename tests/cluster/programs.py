"""Stands for docker, kind, helm and kubectl: writes down how it was called, and answers what `task up` reads.

Run as `python programs.py NAME ARGUMENT...`. The folder in FAKE_PROGRAMS holds calls.jsonl and a file for each fact.
"""

import json
import os
import sys
from pathlib import Path

FOLDER = Path(os.environ["FAKE_PROGRAMS"])
DIGEST = "sha256:" + 64 * "a"


def main() -> None:
    name, *arguments = sys.argv[1:]
    stdin = sys.stdin.buffer.read() if "-" in arguments or "-f" in arguments else b""
    with (FOLDER / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"argv": [name, *arguments], "stdin": stdin.decode(errors="replace")}) + "\n")
    if (FOLDER / "broken").exists() and (FOLDER / "broken").read_text() in " ".join([name, *arguments]):
        sys.exit("the disk is full")
    if (FOLDER / "away").exists() and name == "kubectl":
        (FOLDER / "away").unlink()
        sys.exit("Unable to connect to the server: net/http: TLS handshake timeout")
    answer(name, arguments)


def answer(name: str, arguments: list[str]) -> None:
    text = " ".join([name, *arguments])
    match name, arguments:
        case "kind", ["get", "clusters"]:
            print("other", *(["wherry"] if (FOLDER / "cluster").exists() else []), sep="\n")
        case "kind", ["create", *_]:
            (FOLDER / "cluster").touch()
        case "kind", ["delete", *_]:
            (FOLDER / "cluster").unlink(missing_ok=True)
        case "kind", ["get", "nodes", *_]:
            print("wherry-control-plane")
        case "kind", ["get", "kubeconfig", *_]:
            print("current-context: kind-wherry")
        case "kind", ["load", "docker-image", *_]:
            (FOLDER / "loaded").open("a").write("\n".join(arguments[4:]) + "\n")
        case "docker", ["build", *_]:
            print("sha256:" + f"{sum(map(ord, text)) % 10:x}" * 64)
        case "docker", ["images", *_]:
            print(DIGEST)
        case "docker", ["run", *_]:
            print(999)
        case "docker", ["exec", *_]:
            node(arguments)
        case "kubectl", ["get", kind, *rest]:
            known = FOLDER / f"{kind}.json"
            print("" if "--ignore-not-found" in rest else known.read_text() if known.exists() else '{"items": []}')
        case _:
            pass


def node(arguments: list[str]) -> None:
    """containerd on a node."""
    loaded = (FOLDER / "loaded").read_text().split() if (FOLDER / "loaded").exists() else []
    wanted = arguments[-1].removeprefix("name==")
    if "ls" in arguments and any(wanted.endswith(image) for image in loaded):
        print("REF TYPE DIGEST", f"{wanted} manifest {DIGEST}", sep="\n")
    if "get" in arguments:
        print(
            json.dumps(
                {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {"digest": DIGEST},
                    "layers": [],
                    "rootfs": {"diff_ids": []},
                }
            )
        )


main()
