"""requirements.txt pins what the code imports, and the environment has it."""

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# DVC runs the stages, and the report's notebook needs a kernel; no code of ours imports them.
RUN_BUT_NOT_IMPORTED = {"dvc", "ipykernel"}
EXTRAS = ("requirements-jax.txt", "requirements-ray.txt")


def pins(name: str) -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (REPOSITORY / name).open())
    return dict(line.split("==") for line in lines if line and not line.startswith("-r "))


def imported() -> set[str]:
    """Distributions that pipeline/ and stages/ import from, in lowercase."""
    modules = set()
    for top in ("pipeline", "stages"):
        for path in (REPOSITORY / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    modules.add(node.module or "")
    tops = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    providers = metadata.packages_distributions()
    namespaces = {"ruamel": ["ruamel.yaml"]}  # several distributions share it
    return {
        name.lower()
        for top in tops - {"pipeline", "stages"}
        for name in namespaces.get(top, providers.get(top, [top]))
    }


def test_everything_imported_is_required_and_nothing_else():
    files = ("requirements.txt", *EXTRAS)
    required = {name.lower() for file in files for name in pins(file)}
    assert required == imported() | RUN_BUT_NOT_IMPORTED


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", *EXTRAS])
def test_pins_are_what_is_installed(name):
    for package, version in pins(name).items():
        installed = metadata.version(package).partition("+")[0]  # a build of torch may say +cpu
        assert installed == version, package
