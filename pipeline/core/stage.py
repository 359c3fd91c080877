"""What every stage does besides its work: check package versions, report errors."""

import argparse
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from pipeline.core import portable
from pipeline.core.errors import PipelineError

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a `PipelineError` becomes a message without traceback, exit code 1.

    Any other exception is a bug and keeps its traceback.
    """
    portable.advise()
    try:
        check_versions()
        main()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def argument(name: str, description: str | None, choices: Iterable[str] | None = None) -> str:
    """The one argument of a stage's command line, from `choices` if they are given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(name, choices=choices)
    return str(getattr(parser.parse_args(), name))


def check_versions(requirements: Path = REQUIREMENTS) -> None:
    """Check that the versions installed are those that `requirements` pins.

    DVC reruns stages when the file changes, but does not see what is installed.

    Raises
    ------
    PipelineError
        If a package is missing or has another version; builds (torch 2.13.0+cpu) may differ.
    """
    for name, pinned in pins(requirements).items():
        try:
            installed = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != pinned:
            raise PipelineError(
                f"{requirements.name}: {name}: must be {pinned}, got {installed}. Run "
                f"`pip install -r {requirements.name}`, or pin the version you want: DVC then "
                "reruns what depends on it."
            )


def pins(requirements: Path) -> dict[str, str]:
    """Version by package, from the lines ``package==version``."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    wanted = (line.partition("#")[0].strip() for line in lines)
    return dict(line.split("==") for line in wanted if "==" in line)
