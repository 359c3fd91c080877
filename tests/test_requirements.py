"""requirements.txt pins what the code imports, and the environment has it; the lock, all of it."""

import ast
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

# DVC runs the stages, and reads YAML faster with clib; the report's notebook needs a kernel. No
# code of ours imports them.
RUN_BUT_NOT_IMPORTED = {"dvc", "ruamel.yaml.clib", "ipykernel"}
EXTRAS = ("requirements-jax.txt", "requirements-ray.txt")
LOCK = REPOSITORY / "requirements-lock.txt"


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


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-docs.txt", *EXTRAS]
)
def test_pins_are_what_is_installed(name):
    for package, version in pins(name).items():
        installed = metadata.version(package).partition("+")[0]  # a build of torch may say +cpu
        assert installed == version, package


def locked() -> dict[str, list[Requirement]]:
    """What the lock has, by name; several for one name where versions differ by platform."""
    lines = LOCK.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        if line and not line.lstrip().startswith("#"):
            text, *hashes = line.split(" --hash=sha256:")
            assert hashes, f"{text}: no hash"
            requirement = Requirement(text.strip())
            assert [one.operator for one in requirement.specifier] == ["=="], text
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_the_lock_has_what_is_required():
    lock = locked()
    for package, version in pins("requirements.txt").items():
        assert [str(one.specifier) for one in lock[canonicalize_name(package)]] == [f"=={version}"]


def test_the_lock_has_what_that_depends_on():
    """As the installed packages tell it, in this environment."""
    lock = locked()
    todo = [Requirement(package) for package in pins("requirements.txt")]
    seen = set()
    while todo:
        asked = todo.pop()
        name = canonicalize_name(asked.name)
        assert name in lock, f"{asked}: run `make lock`"
        for extra in asked.extras or {""}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = map(Requirement, metadata.requires(name) or ())
                todo += [n for n in needs if not n.marker or n.marker.evaluate({"extra": extra})]
    assert len({name for name, _ in seen}) > 100


def test_the_lock_names_no_host():
    assert "//" not in LOCK.read_text(encoding="utf-8")
