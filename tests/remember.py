"""A stand-in for the runner's Python that asks the real one once for each project, and gives its files from then on.

Most tests that release a project aren't about what dbt makes of it; parsing it takes seconds of CPU time each time.
What is kept is found by the content of the project and of its profile, and by what was asked of them.
"""

import sys
from pathlib import Path

_SCRIPT = """#!{python}
import fcntl, hashlib, os, pathlib, shutil, subprocess, sys
words, real, kept = sys.argv[1:], {real!r}, pathlib.Path({kept!r})
if "wherry_runner.build" not in words:
    os.execv(real, [real, *words])
at = words.index("--out") + 1
out, words[at] = words[at], "out"
asked = hashlib.sha256(repr(words).encode())
for path in sorted(path for name in ("project", "profiles") for path in pathlib.Path(name).rglob("*")):
    asked.update(repr((str(path), path.read_bytes() if path.is_file() else None)).encode())
folder = kept / asked.hexdigest()
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (folder / "answer").exists():
        words[at] = str(folder / "built")
        done = subprocess.run([real, *words], capture_output=True, text=True)
        sys.stderr.write(done.stderr)
        if done.returncode:
            sys.stdout.write(done.stdout)
            sys.exit(done.returncode)
        (folder / "answer").write_text(done.stdout)
shutil.copytree(folder / "built", out, dirs_exist_ok=True)
sys.stdout.write((folder / "answer").read_text())
"""


def remembering(real: Path, kept: Path, folder: Path) -> Path:
    """Write the stand-in for `real` into a folder; what it remembers is below `kept`. Processes may share that."""
    script = folder / "remembering-python"
    script.write_text(_SCRIPT.format(python=sys.executable, real=str(real.absolute()), kept=str(kept)))
    script.chmod(0o755)
    return script
