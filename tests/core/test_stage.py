"""What stages check before they work."""

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.stage import REQUIREMENTS, check_versions, pins, run_stage


def test_what_is_installed_is_what_is_pinned():
    check_versions()
    assert {"torch", "numba", "numpy"} <= pins(REQUIREMENTS).keys()


@pytest.mark.parametrize(
    ("line", "got"), [("PyYAML==0.1", "got 6."), ("no-such-package==1.0", "got not installed")]
)
def test_another_version_is_told(tmp_path, line, got):
    path = tmp_path / "requirements.txt"
    path.write_text(f"# pinned\n\n{line}  # a comment\n-r other.txt\n")
    with pytest.raises(PipelineError) as caught:
        check_versions(path)
    name, _, version = line.partition("==")
    message = str(caught.value)
    assert message.startswith(f"requirements.txt: {name}: must be {version}, {got}")
    assert "pip install -r requirements.txt" in message


def test_no_stage_works_with_other_versions(tmp_path, monkeypatch):
    path = tmp_path / "requirements.txt"
    path.write_text("torch==0.1\n")
    monkeypatch.setattr("pipeline.core.stage.check_versions", lambda: check_versions(path))
    worked: list[int] = []
    with pytest.raises(SystemExit) as caught:
        run_stage(lambda: worked.append(1))
    assert "torch: must be 0.1" in str(caught.value) and not worked
