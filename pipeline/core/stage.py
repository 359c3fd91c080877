"""What every stage does before and after its own work: check what it runs on, tell errors."""

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from pipeline.core import portable
from pipeline.core.errors import PipelineError

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a `PipelineError` becomes one clear message and exit code 1.

    Anything else is a defect of ours and keeps its traceback.
    """
    portable.advise()
    try:
        check_versions()
        main()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def check_versions(requirements: Path = REQUIREMENTS) -> None:
    """Compare what is installed with what `requirements` pins, as results follow from both.

    DVC sees the file only. Where the library travels without it, there is nothing to compare.

    Raises
    ------
    PipelineError
        If a version differs, or a package is missing. A build (torch 2.13.0+cpu) does not count.
    """
    for name, pinned in pins(requirements).items():
        try:
            installed = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != pinned:
            raise PipelineError(
                f"{requirements.name}: {name}: must be {pinned}, as pinned there, got {installed}: "
                f"`pip install -r {requirements.name}`. Or pin what you want: DVC then reruns what "
                "follows from it."
            )


def pins(requirements: Path) -> dict[str, str]:
    """Versions by package of the lines ``package==version``; comments and other files left out."""
    if not requirements.is_file():
        return {}
    lines = requirements.read_text(encoding="utf-8").splitlines()
    wanted = (line.partition("#")[0].strip() for line in lines)
    return dict(line.split("==") for line in wanted if "==" in line)
