import subprocess
import sys

import torch

from pipeline.training.adam import Adam


def test_is_torchs_to_the_last_bit():
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 70), (5, 1), (2, 4, 4))
    ours = [torch.randn(shape, generator=generator) for shape in shapes]
    theirs = [parameter.clone() for parameter in ours]
    adam, reference = Adam(ours, 0.01), torch.optim.Adam(theirs, lr=0.01, fused=True)
    for _ in range(5):
        gradients = [torch.randn(shape, generator=generator) for shape in shapes]
        adam.step([gradient.mT.contiguous().mT for gradient in gradients])  # however it lies
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        reference.step()
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)
    for place, parameter in enumerate(theirs):
        state = reference.state[parameter]
        assert torch.equal(adam.means[place], state["exp_avg"])
        assert torch.equal(adam.squares[place], state["exp_avg_sq"])
        assert adam.steps[place] == state["step"] == 5


def test_agrees_with_the_algorithm_in_float64():
    (x,) = parameters = [torch.tensor([1.0, -2.0], dtype=torch.float64)]
    adam, expected = Adam(parameters, 0.1), x.clone()
    mean = square = torch.zeros(2, dtype=torch.float64)
    for step in range(1, 4):
        gradient = 2 * expected
        adam.step([gradient.clone()])
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        expected = expected - 0.1 * corrected[0] / (corrected[1].sqrt() + 1e-8)
        torch.testing.assert_close(x, expected, rtol=1e-12, atol=1e-12)


def test_does_not_import_torchs_compiler():
    code = (
        "import sys, torch; from pipeline.training.adam import Adam\n"
        "x = torch.ones(3); Adam([x], 0.1).step([x.clone()])\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
