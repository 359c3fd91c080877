"""Digests of a run of the smoke preset, to compare processors by.

``python -m tests.e2e.digests FOLDER`` prints those of a run in FOLDER, as digests.json has them. A
change that is meant to change results changes that file too; ``python -m tests.e2e.emulate`` shows
that other processors agree.
"""

import hashlib
import json
import sys
from pathlib import Path

import safetensors.numpy

COMMITTED = Path(__file__).with_name("digests.json")
TABLES = ("cells", "curves", "lambda", "methods", "methods_curves", "metrics", "study",
          "worst_case", "rivals", "roundings", "text")  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    """MD5 of the weights of every experiment, of every table of numbers, and of all pictures."""
    by_path = {}
    for models in sorted((folder / "models").iterdir()):
        digest = hashlib.md5()
        for path in sorted(models.rglob("*.safetensors")):
            weights = safetensors.numpy.load(path.read_bytes())  # metadata name the code, left out
            for name in sorted(weights):
                digest.update(name.encode() + weights[name].tobytes())
        by_path[f"models/{models.name}"] = digest.hexdigest()
    reports = folder / "reports"
    tables = sorted(path for name in TABLES for path in (reports / name).rglob("*.*"))
    for path in tables:
        by_path[path.relative_to(folder).as_posix()] = hashlib.md5(path.read_bytes()).hexdigest()
    pictures = sorted((reports / "figures").glob("*.png"))
    all_pictures = b"".join(path.read_bytes() for path in pictures)
    return by_path | {"reports/figures": hashlib.md5(all_pictures).hexdigest()}


if __name__ == "__main__":
    print(json.dumps(digests(Path(sys.argv[1])), indent=2))
