"""Convolution and max-pooling as one, against the two layers of torch one after another."""

import torch
from torch import nn
from torch.nn import functional as F

from pipeline.metrics.enclosures import Enclosure, enclose, in_windows, out_of_windows
from pipeline.metrics.pooled import largest_differences, shifted_kernels, through

SHAPE = (2, 9, 8)  # after a 3 × 3 kernel 7 × 6: the odd end is out


def convolution(seed=0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(2, 3, 3).double().requires_grad_(False)


def test_windows_and_back():
    image = torch.arange(2 * 5 * 6).view(2, 5, 6)
    windows = in_windows(image, 2)
    assert windows.shape == (2, 2, 3, 4)
    assert windows[1, 1, 2].tolist() == image[1, 2:4, 4:6].flatten().tolist()
    back = out_of_windows(windows, 2, image.shape[-2:])
    assert torch.equal(back[:, :4], image[:, :4]) and (back[:, 4] == 0).all()


def test_a_unit_with_the_kernel_of_one_place_is_the_convolution_there():
    layer, size = convolution(), 2
    x = torch.randn(4, *SHAPE, dtype=torch.double)
    units = in_windows(layer(x), size)
    for place, kernel in enumerate(shifted_kernels(layer, size)):
        there = F.conv2d(x, kernel, layer.bias, stride=size)
        torch.testing.assert_close(there, units[..., place])


def test_rows_through_units_are_their_vector_jacobian_products():
    layer, size = convolution(), 2
    x = torch.randn(4, *SHAPE, dtype=torch.double, requires_grad=True)
    pooled = F.max_pool2d(layer(x), size)
    places = in_windows(layer(x), size).argmax(-1)
    kernels = shifted_kernels(layer, size).movedim(0, 1)
    chosen = torch.stack([kernels[o, places[:, o]] for o in range(3)], 1)
    rows = torch.randn(4, 5, *pooled.shape[1:], dtype=torch.double)
    result = through(rows, chosen, size, x.shape[1:])
    for index in range(5):
        (expected,) = torch.autograd.grad(pooled, x, rows[:, index], retain_graph=True)
        torch.testing.assert_close(result[:, index], expected)


def test_differences_are_bounds_and_attained():
    layer, size = convolution(1), 2
    torch.manual_seed(2)
    at, low, high = torch.randn(3, 2, *SHAPE, dtype=torch.double)
    before = Enclosure(at, -low.abs(), high.abs())
    after, _ = enclose(layer, before)
    bounds = largest_differences(layer, before, after, size)
    one, other = 1, 2  # a place, and another one
    for sample in range(100):
        share = torch.rand_like(at)
        share = share.round() if sample % 2 else share
        x = at + before.low + share * (before.high - before.low)
        z = in_windows(layer(x), size)
        assert (z.unsqueeze(-1) - z.unsqueeze(-2) <= bounds + 1e-12).all()
    # Of one window: the corner where the difference is largest.
    x = at.clone().requires_grad_()
    difference = in_windows(layer(x), size)[:, 0, 1, 2]
    (gradient,) = torch.autograd.grad((difference[:, one] - difference[:, other]).sum(), x)
    corner = at + torch.where(gradient > 0, before.high, before.low)
    z = in_windows(layer(corner), size)[:, 0, 1, 2]
    torch.testing.assert_close(bounds[:, 0, 1, 2, one, other], z[:, one] - z[:, other])


def test_a_differences_bound_is_no_larger_than_that_of_the_units():
    layer, size = convolution(3), 2
    torch.manual_seed(4)
    at, width = torch.randn(2, 2, *SHAPE, dtype=torch.double)
    before = Enclosure(at, -width.abs(), width.abs())
    after, _ = enclose(layer, before)
    low, high = (in_windows(after.at + end, size) for end in (after.low, after.high))
    apart = high.unsqueeze(-1) - low.unsqueeze(-2)
    bounds = largest_differences(layer, before, after, size)
    assert (bounds <= apart + 1e-12).all()
    assert (bounds < 0.9 * apart).double().mean() > 0.5
