"""`dvc repro`, killed again and again: the next one goes on, and ends with the same bytes."""

import os
import random
import shutil
import signal
import time

import pytest

from tests.e2e.conftest import stages_run

pytestmark = pytest.mark.e2e

STAGES = ["prepare@compas", "train@compas_senn"]
MADE = ["data/prepared/compas", "models/compas_senn", "reports/curves/compas_senn.csv"]
LONGEST = 1.2  # seconds from the first stage's start to the kill; both take some 4


def test_killed_again_and_again(project, tmp_path):
    expected = project.locked()
    project = project.having(SENN_CELL_STORE=str(tmp_path / "store"))
    # Without the run cache DVC cannot bring results back, it must make them.
    shutil.rmtree(project.folder / ".dvc/cache/runs")
    for path in MADE:
        made = project.folder / path
        shutil.rmtree(made) if made.is_dir() else made.unlink()

    dice, log = random.Random(1871), tmp_path / "log"
    for least in (0.0, LONGEST / 2, LONGEST / 2):
        with log.open("w") as file:
            running = project.start(
                *("dvc", "repro", STAGES[-1]), stdout=file, stderr=file, start_new_session=True
            )
        while not stages_run(log.read_text()):
            assert running.poll() is None, log.read_text()
            time.sleep(0.05)
        time.sleep(dice.uniform(least, LONGEST))
        assert running.poll() is None, log.read_text()
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()

    # No lock that they left is in its way, and nothing else than what they were to make is made.
    printed = project.run("dvc", "repro", STAGES[-1])
    assert set(stages_run(printed)) <= set(STAGES) and STAGES[-1] in stages_run(printed)
    assert project.locked() == expected
    assert "up to date" in project.run("dvc", "status")
