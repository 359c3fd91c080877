import math

import pytest

from pipeline.training.progress import TrainingProgress


def test_a_log_file_gets_a_line_for_every_finished_task(capsys):
    with TrainingProgress("mnist_senn: 3 cells", [4, 4], "valid accuracy") as progress:
        for epoch in range(1, 5):
            progress.epoch(0, epoch, 0.25 * epoch)
            progress.epoch(1, epoch, 0.2 * epoch)
        progress.say("bank 1/2 done [λ=0.1]")
        progress.say("bank 2/2 done")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "mnist_senn: 3 cells: bank 1/2 done [λ=0.1]",
        "mnist_senn: 3 cells: bank 2/2 done",
    ]


@pytest.fixture
def terminal(monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_shows_epochs_and_the_mean_of_the_measure(terminal, capsys):
    with TrainingProgress("mnist_senn: 3 cells", [4, 2], "valid accuracy") as progress:
        progress.epoch(0, 3, 0.25)
        progress.epoch(1, 2, 0.75)
    shown = capsys.readouterr().out
    assert "mnist_senn: 3 cells" in shown
    assert "5/6" in shown and "valid accuracy 0.500" in shown


def test_the_mean_is_of_the_tasks_that_have_a_value(terminal, capsys):
    with TrainingProgress("tables", [4, 2], "valid accuracy") as progress:
        progress.epoch(0, 1, math.nan)
    assert "valid accuracy –" in capsys.readouterr().out
    with TrainingProgress("tables", [4, 2], "valid accuracy") as progress:
        progress.epoch(0, 1, math.nan)
        progress.epoch(1, 2, 0.75)
    shown = capsys.readouterr().out
    assert "3/6" in shown and "valid accuracy 0.750" in shown
