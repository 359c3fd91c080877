import os
import signal

import pytest
import torch

from benchmarks.measure import of_what_there_is
from pipeline.core.errors import PipelineError
from pipeline.reporting import ahead, heat_maps
from pipeline.reporting.ahead import Ahead
from tests.reporting.conftest import read
from tests.reporting.workspace import default_params, make_workspace


def process_and_threads(number: int) -> tuple[int, int, int]:
    return number, os.getpid(), torch.get_num_threads()


def fail() -> None:
    raise PipelineError("as it must")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(params=[1, 2], ids=["one core", "two cores"])
def cores(monkeypatch, request) -> int:
    monkeypatch.setattr(ahead, "cores", lambda: request.param)
    return request.param


def test_result(cores):
    begun = Ahead(process_and_threads, 7)
    number, process, threads = begun.result
    assert (number, threads) == (7, 1)
    assert (process == os.getpid()) == (cores == 1)
    assert begun.result == (number, process, threads)  # may be asked for again


def test_errors_are_raised_where_the_result_is_asked_for(cores):
    begun = Ahead(fail)
    with pytest.raises(PipelineError, match="as it must"):
        _ = begun.result


def test_a_killed_process_is_no_riddle(monkeypatch):
    monkeypatch.setattr(ahead, "cores", lambda: 2)
    begun = Ahead(die)
    with pytest.raises(PipelineError, match="was killed, most likely because memory ran out"):
        _ = begun.result


def test_heat_maps_are_the_same_computed_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "cores", lambda: 2)
    params = default_params()  # of a table, as images are costly to explain
    params["experiments"] = {"compas_senn": params["experiments"]["compas_senn"]}
    make_workspace(tmp_path, of_what_there_is(params))
    results = read(tmp_path)
    heat_maps.begin(results)
    experiment = results.experiments["compas_senn"]
    there, here = heat_maps._computed(experiment, results), heat_maps.compute(experiment, results)
    assert there.predicted == here.predicted
    assert list(there.maps) == list(here.maps)
    for name, values in here.maps.items():
        assert (there.maps[name] == values).all(), name
