"""`python -m verification` in a clone after its run."""

import sys

import pytest

from tests.e2e.conftest import Project

pytestmark = pytest.mark.e2e


def verify(project: Project, **options: bool) -> str:
    return project.run(sys.executable, "-m", "verification", **options)


def test_what_is_committed_is_verified_without_a_rerun(project):
    printed = verify(project)
    assert "differs" not in printed and "results are as committed" in printed
    assert " s; " not in printed  # no stage ran
    assert project.run("git", "status", "--porcelain").strip() == ""


def test_a_number_that_does_not_come_out_is_told(project):
    path = project.folder / "reports/lambda/compas_senn.csv"
    header, row, *rows = path.read_text().splitlines()
    column = header.split(",").index("accuracy")
    values = row.split(",")
    true = float(values[column])
    values[column] = str(true + 0.125)
    path.write_text("\n".join([header, ",".join(values), *rows]) + "\n")
    project.commit()
    printed = verify(project, fails=True)
    assert f"differs    {path.relative_to(project.folder)}" in printed
    assert f"accuracy: committed {true + 0.125:.6g}, here {true:.6g}, 0.125 apart" in printed
    assert "evaluate@compas_senn: " in printed and "left" in printed
    assert project.run("git", "status", "--porcelain").strip() == ""
