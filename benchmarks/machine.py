"""Where something was measured, as a committed result has to say; no dates, no names of hosts."""

import platform
from pathlib import Path

import torch

from pipeline.core.device import cores

Machine = dict[str, str | int | None]


def describe(device: torch.device) -> Machine:
    """Device, processor, cores this process may use, and versions."""
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "system": platform.system(),
    }


def in_words(machine: Machine) -> str:
    """One line of it."""
    where = f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores"
    if machine["device"] != "cpu":
        where = f"{machine['device']} (CUDA {machine['cuda']}), {where}"
    return f"{where}, torch {machine['torch']}, Python {machine['python']}, {machine['system']}"


def _processor() -> str:
    """The processor's name; Python itself only knows its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
