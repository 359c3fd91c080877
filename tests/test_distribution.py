from types import SimpleNamespace

from tests.conftest import REPOSITORY, pytest_collection_modifyitems
from tests.distribution import LONG, place, unit


def test_units_are_modules_and_all_of_e2e():
    assert unit("tests/models/test_senn.py::test_a[x::y]") == "tests/models/test_senn.py"
    assert unit("tests/e2e/test_repro.py::test_a") == unit("tests/e2e/test_crash.py::test_b")


def test_long_units_come_first():
    tests = [f"{module}::test" for module in ("tests/models/test_senn.py", *LONG[::-1])]
    items = [SimpleNamespace(nodeid=test) for test in tests]
    pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == tests[::-1]
    assert [place(item.nodeid) for item in items] == list(range(len(LONG) + 1))


def test_what_takes_long_is_there():
    for long in LONG:
        assert (REPOSITORY / long).exists(), long
