"""A process imports a module once, so each case runs in a process of its own."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests import processes


def run(code: str) -> CompletedProcess[str]:
    return processes.run(execute, code)


def execute(code: str, out: Path, err: Path) -> None:
    processes.lead_a_group(out, err)
    exec(code, {})


@pytest.fixture(scope="module")
def imports_alone() -> bool:
    """Whether torchvision, as it is installed here, imports without help."""
    return run("import torchvision").returncode == 0


def test_datasets_transforms_and_utils_work(imports_alone):
    result = run(
        """
from pipeline.core.torchvision_shim import definitions, torchvision
import torch
assert torchvision.datasets.MNIST.mirrors
assert torchvision.transforms.functional.resize(torch.ones(1, 4, 4), [2, 2]).shape == (1, 2, 2)
assert torchvision.utils.make_grid(torch.ones(4, 1, 2, 2), nrow=2, padding=0).shape == (3, 4, 4)
print("left alone" if definitions is None else "helped")
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() == ("left alone" if imports_alone else "helped")


def test_leaves_existing_operators_alone(imports_alone):
    if imports_alone:
        pytest.skip("the test above has shown it with torchvision's own operators")
    # As if torchvision's compiled operators had loaded: the names are already defined.
    result = run(
        """
import torch
native = torch.library.Library("torchvision", "DEF")
native.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
native.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from pipeline.core import torchvision_shim
assert torchvision_shim.definitions is None
assert torchvision_shim.torchvision.datasets.MNIST
"""
    )
    assert result.returncode == 0, result.stderr


def test_other_failures_pass_through():
    result = run(
        """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            raise RuntimeError("something else")
sys.meta_path.insert(0, Broken())
import pipeline.core.torchvision_shim
"""
    )
    assert result.returncode != 0
    assert "RuntimeError: something else" in result.stderr
