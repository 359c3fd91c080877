from tests.reporting.conftest import run  # noqa: F401
