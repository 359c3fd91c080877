import pytest
import torch

from pipeline.core.device import choose_device, device_kind
from pipeline.core.errors import PipelineError


@pytest.fixture
def cuda_devices(monkeypatch):
    """``cuda_devices(n)``: as if the machine had n of them."""

    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")

    return pretend


@pytest.mark.parametrize(
    ("count", "name", "chosen"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "auto", "cuda"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_chooses(cuda_devices, count, name, chosen):
    cuda_devices(count)
    device = choose_device(name)
    assert device.type == torch.device(chosen).type
    assert (device.index or 0) == (torch.device(chosen).index or 0)


@pytest.mark.parametrize(
    ("count", "name"), [(0, "cuda"), (0, "cuda:0"), (0, "cuda:1"), (1, "cuda:1"), (2, "cuda:7")]
)
def test_a_device_that_is_not_there(cuda_devices, count, name):
    cuda_devices(count)
    with pytest.raises(PipelineError) as caught:
        choose_device(name)
    message = str(caught.value)
    assert message.startswith(f"params.yaml: device: {name} does not exist")
    assert f"sees {count} CUDA device(s)" in message and "use auto or cpu" in message


def test_kind_is_the_processors_and_not_its_index(cuda_devices):
    cuda_devices(2)
    first, second = device_kind(torch.device("cuda:0")), device_kind(torch.device("cuda:1"))
    assert first == second and "H100" in first
    assert device_kind(torch.device("cpu")) != first
    assert device_kind(torch.device("cpu")).startswith("cpu")


def test_kind_does_not_depend_on_the_number_of_threads():
    threads = torch.get_num_threads()
    kind = device_kind(torch.device("cpu"))
    try:
        torch.set_num_threads(threads + 1)
        assert device_kind(torch.device("cpu")) == kind
    finally:
        torch.set_num_threads(threads)
