import time

from verification import rerun


def test_time_left_is_scaled_by_the_pace_of_the_stages_that_ran(tmp_path, monkeypatch, capsys):
    measured = tmp_path / "commands.csv"
    rows = ["command,stage,seconds", "dvc repro,(DVC starts),2", "dvc repro,slow,30"]
    rows += ["dvc repro,kept,1000", "dvc repro,next,50", "dvc repro,(all),1082"]
    measured.write_text("\n".join([*rows, "dvc exp run,slow,3", "dvc exp run,(all),3"]))
    monkeypatch.setattr(rerun, "RESULTS", measured)
    clock = iter((0.0, 60.0, 60.0, 100.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = rerun._Progress(["kept", "slow", "next", "unknown"])
    progress.skip("kept")
    progress.begin("slow")
    progress.begin("next")  # twice as slow as usual; `unknown` is taken to last the mean, 360 s
    progress.end()
    assert capsys.readouterr().out.splitlines() == [
        "slow: 60 s; 2 of 4 stages, about 14 min left",
        "next: 40 s; 3 of 4 stages, about 8 min left",
    ]
