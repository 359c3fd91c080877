import json
import time

from verification import rerun


def test_time_left_is_scaled_by_the_pace_of_the_stages_that_ran(tmp_path, monkeypatch, capsys):
    durations = tmp_path / "durations.json"
    durations.write_text(json.dumps({"seconds": {"slow": 30, "kept": 1000, "next": 50}}))
    monkeypatch.setattr(rerun, "DURATIONS", durations)
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
