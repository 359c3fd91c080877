"""Run the smoke preset on an emulated processor: ``python -m tests.e2e.emulate Haswell-v4``.

Needs QEMU's user mode (Debian: qemu-user), whose floating point is IEEE's, and whose approximate
reciprocals are nobody else's. It takes about an hour. Stages, their workers and the notebook's
kernel are emulated, DVC is not. `qemu-x86_64 -cpu help` lists processors; one must have AVX2.
Prints what differs from digests.json; exit code 0 if nothing does.
"""

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.e2e.conftest import REPOSITORY, Project, clone, environment
from tests.e2e.digests import COMMITTED, digests
from tests.processes import ALL_CORES


def interpreter(folder: Path, processor: str) -> Path:
    """An environment in `folder` like the running one, whose `python` is emulated; its programs."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    here = Path(sys.prefix)
    (folder / "pyvenv.cfg").write_bytes((here / "pyvenv.cfg").read_bytes())
    for name in ("lib", "share"):
        (folder / name).symlink_to(here / name)
    python = programs / "python"
    # Python takes itself for the script, and starts that for its workers.
    python.write_text(
        "#!/bin/sh\n"
        f'exec qemu-x86_64 -cpu {processor} -0 "{python}" "{Path(sys.executable).resolve()}" "$@"\n'
    )
    python.chmod(0o755)
    return programs


def main() -> None:
    processor, *mirrors = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        mirror = Path(mirrors[0]) if mirrors else REPOSITORY / "data/raw"
        native = Project(root / "clone", environment(root, mirror), ALL_CORES)
        clone(native)
        for compiled in (native.folder / "pipeline").rglob("*.nb?"):
            compiled.unlink()  # the emulated processor compiles for itself
        emulated = interpreter(root / "emulated", processor)
        path = os.pathsep.join([str(emulated), native.environment["PATH"]])
        project = replace(native, environment=native.environment | {"PATH": path})
        status = project.start("dvc", "repro").wait()
        expected, seen = json.loads(COMMITTED.read_text())["digests"], digests(project.folder)
        differ = [key for key in {**expected, **seen} if expected.get(key) != seen.get(key)]
        print(json.dumps(seen, indent=2))
        print(f"{processor}: {len(expected)} digests, {len(differ)} differ: {', '.join(differ)}")
        if status:
            print(f"`dvc repro` failed with exit code {status}; digests are of what it wrote")
        sys.exit(1 if differ or status else 0)


if __name__ == "__main__":
    main()
