"""How xdist's workers share the tests, `pytest --numprocesses 2`: modules whole, the longest first.

Whatever a module's fixtures make is made once, in the worker that has the module. Marks
`xdist_group` would say the same, but pytest 9.2 does not let xdist 3.8 see them, and does not say
so (pytest-xdist, issue 1386).
"""

from pathlib import PurePosixPath

# What takes longest, in this order; all other modules take seconds.
LONG = (
    "tests/e2e",
    "tests/training/test_crash.py",
    "tests/core/test_cluster.py",
    "tests/stages",
    "tests/reporting",
    "tests/test_recipes.py",
    "tests/benchmarks/test_paper_grid.py",
    "tests/training",
)


def unit(test: str) -> str:
    """What the test with this node id is run with, by one worker: its module, or all of e2e."""
    module = test.split("::", 1)[0]
    return "tests/e2e" if module.startswith("tests/e2e/") else module


def place(test: str) -> int:
    """The place of the test with this node id among all, the earlier the longer its module."""
    module = PurePosixPath(unit(test))
    return next((i for i, long in enumerate(LONG) if module.is_relative_to(long)), len(LONG))
