from tests.reporting.conftest import made, run  # noqa: F401
