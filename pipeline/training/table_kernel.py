"""Training steps of a SENN on a table, fused into one compiled call.

A perceptron of a few hundred weights is so small that most of its training would be calls of
library functions. The gradients here are those that autograd finds for `Objective` (tests hold
that), written out. Between its ReLUs θ is linear in x, so

- a residual is a *pull*: a cotangent on θ, taken down through the transposed layers;
- the loss's gradient G with respect to a residual goes back as a *push*: G taken up through the
  layers ends as the gradient of the cotangent, and every layer's weights get the product of what
  was pulled to its outputs and what was pushed to its inputs.

`robustness` says what cotangents and residuals are, and why. Arrays are (rows, B): the inputs',
then all layers' outputs one below the other, those of θ concept by concept. Inner loops run over
examples, contiguous in memory, and are vectorised.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
F = TypeVar("F", bound=Callable[..., Any])

LOGITS, LOG_SOFTMAX, TABULAR_REVIEW = range(3)  # what the robustness loss differentiates
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as in torch


def compiled(function: F) -> F:
    """Compile for this processor. Sums may be reordered: else they could not be vectorised."""
    freedom = {"reassoc", "contract", "nsz"}
    return cast(F, njit(nogil=True, cache=True, error_model="numpy", fastmath=freedom)(function))


@compiled
def forward(
    weights: Array, places: Array, widths: Array, masks: Array, values: Array, slopes: Array
) -> None:
    """Fill the layers' rows of `values`, and the hidden ones of `slopes`, ReLU's and dropout's."""
    number = weights.dtype.type
    below, begin = 0, widths[0]
    for layer in range(len(places)):
        weight, bias = places[layer]
        for o in range(widths[layer + 1]):
            out, slope = values[begin + o], slopes[begin + o]
            out[:] = weights[bias + o]
            add_rows(weights[weight + o * widths[layer] :], 1, values[below:begin], out)
            if layer < len(places) - 1:
                mask = masks[begin - widths[0] + o]
                for b in range(len(out)):
                    slope[b] = mask[b] if out[b] * mask[b] > 0 else number(0)
                    out[b] *= slope[b]
        below, begin = begin, begin + widths[layer + 1]


@compiled
def pull(weights: Array, places: Array, widths: Array, slopes: Array, g: Array) -> None:
    """Take a cotangent on θ, in the last rows of `g`, down to x, by way of all rows."""
    below = len(g)
    for layer in range(len(places) - 1, -1, -1):
        end, below = below, below - widths[layer + 1]
        begin = below - widths[layer]
        for i in range(widths[layer]):
            out = g[begin + i]
            out[:] = 0
            add_rows(weights[places[layer, 0] + i :], widths[layer], g[below:end], out)
            if layer > 0:
                multiply(out, slopes[begin + i])


@compiled
def push(weights: Array, places: Array, widths: Array, slopes: Array, t: Array) -> None:
    """Take a change of x, in the first rows of `t`, up to that of θ, by way of all rows."""
    below, begin = 0, widths[0]
    for layer in range(len(places)):
        for o in range(widths[layer + 1]):
            out = t[begin + o]
            out[:] = 0
            add_rows(weights[places[layer, 0] + o * widths[layer] :], 1, t[below:begin], out)
            if layer < len(places) - 1:
                multiply(out, slopes[begin + o])
        below, begin = begin, begin + widths[layer + 1]


@compiled
def add_rows(factors: Array, stride: int, rows: Array, out: Array) -> None:
    """out (B) += Σ_i factors[i · stride] rows[i]."""
    i = 0
    while i + 4 <= len(rows):
        w0, w1 = factors[i * stride], factors[(i + 1) * stride]
        w2, w3 = factors[(i + 2) * stride], factors[(i + 3) * stride]
        r0, r1, r2, r3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for b in range(len(out)):
            out[b] += w0 * r0[b] + w1 * r1[b] + w2 * r2[b] + w3 * r3[b]
        i += 4
    while i < len(rows):
        w, r = factors[i * stride], rows[i]
        for b in range(len(out)):
            out[b] += w * r[b]
        i += 1


@compiled
def multiply(out: Array, factor: Array) -> None:
    """out (B) *= factor (B)."""
    for b in range(len(out)):
        out[b] *= factor[b]


@compiled
def dot(one: Array, other: Array) -> Any:
    """Σ_b one·other."""
    total = one.dtype.type(0)
    for b in range(len(one)):
        total += one[b] * other[b]
    return total


@compiled
def add_products(
    places: Array, widths: Array, above: Array, beneath: Array, gradient: Array
) -> None:
    """Add every layer's Σ_b above·beneath to the gradient of its weights."""
    below, begin = 0, widths[0]
    for layer in range(len(places)):
        place = places[layer, 0]
        for o in range(widths[layer + 1]):
            for i in range(widths[layer]):
                gradient[place] += dot(above[begin + o], beneath[below + i])
                place += 1
        below, begin = begin, begin + widths[layer + 1]


@compiled
def add_sums(places: Array, widths: Array, above: Array, gradient: Array) -> None:
    """Add every layer's Σ_b above to the gradient of its biases."""
    begin = widths[0]
    for layer in range(len(places)):
        for o in range(widths[layer + 1]):
            row, total = above[begin + o], gradient.dtype.type(0)
            for b in range(len(row)):
                total += row[b]
            gradient[places[layer, 1] + o] += total
        begin += widths[layer + 1]


@compiled
def adam(weights: Array, moments: Array, gradient: Array, lr: float, step: int) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1)."""
    number = weights.dtype.type
    rate = number(lr / (1 - BETA1**step))
    unbiased = number(1 / np.sqrt(1 - BETA2**step))
    first, second, epsilon = number(1 - BETA1), number(1 - BETA2), number(EPSILON)
    mean, square = moments
    for i in range(len(weights)):
        mean[i] += first * (gradient[i] - mean[i])
        square[i] += second * (gradient[i] * gradient[i] - square[i])
        weights[i] -= rate * mean[i] / (np.sqrt(square[i]) * unbiased + epsilon)


@compiled
def softmax(logits: Array) -> None:
    """Softmax over the classes of `logits` (C, B), in place."""
    classes, batch = logits.shape
    for b in range(batch):
        highest = logits[0, b]
        for c in range(1, classes):
            highest = max(highest, logits[c, b])
        total = logits.dtype.type(0)
        for c in range(classes):
            logits[c, b] = np.exp(logits[c, b] - highest)
            total += logits[c, b]
        for c in range(classes):
            logits[c, b] /= total


@compiled
def logits_of(h: Array, theta: Array, out: Array) -> None:
    """f_c = Σ_k h_k θ_kc, (C, B), of h (K, B) and θ (K · C, B)."""
    classes, batch = out.shape
    out[:] = 0
    for k in range(len(h)):
        for c in range(classes):
            for b in range(batch):
                out[c, b] += h[k, b] * theta[k * classes + c, b]


@compiled
def cotangents(target: int, d: Array, p: Array, on_theta: Array, on_h: Array) -> None:
    """Factors of direction d (C, B): h_k · on_theta_c on θ_kc, Σ_c θ_kc · on_h_c on h_k."""
    classes, batch = d.shape
    one = p.dtype.type(1)
    if target == TABULAR_REVIEW:
        for c in range(classes):
            for b in range(batch):
                on_h[c, b] = one - classes * p[c, b]
        on_theta[:] = on_h
        return
    on_theta[:] = d
    on_h[:] = 0
    if target == LOG_SOFTMAX:
        for other in range(classes):
            for c in range(classes):
                for b in range(batch):
                    on_h[c, b] -= d[other, b] * p[c, b]
        for c in range(classes):
            for b in range(batch):
                on_theta[c, b] += on_h[c, b]


@compiled
def cotangents_back(target: int, d: Array, back: Array, to_p: Array) -> None:
    """Add what the factors' gradients, on_theta's and on_h's together (C, B), are to p."""
    classes, batch = d.shape
    if target == TABULAR_REVIEW:
        for c in range(classes):
            for b in range(batch):
                to_p[c, b] -= classes * back[c, b]
    elif target == LOG_SOFTMAX:
        for other in range(classes):
            for c in range(classes):
                for b in range(batch):
                    to_p[c, b] -= d[other, b] * back[c, b]


@compiled
def norm(r: Array, per_example: bool, norms: Array) -> Any:
    """Frobenius norm of r (D, features, B), or the mean of every example's; `norms` for either."""
    directions, features, batch = r.shape
    norms[:] = 0
    for n in range(directions):
        for i in range(features):
            for b in range(batch):
                norms[b] += r[n, i, b] * r[n, i, b]
    if per_example:
        for b in range(batch):
            norms[b] = np.sqrt(norms[b])
        return norms.mean()
    norms[:] = np.sqrt(norms.sum())
    return norms[0]


@compiled
def train_steps(
    weights: Array,
    moments: Array,
    places: Array,
    widths: Array,
    x: Array,
    y: Array,
    masks: Array,
    probes: Array,
    target: int,
    per_example: bool,
    scale: float,
    robust_reg: float,
    lr: float,
    done: int,
    losses: Array,
) -> None:
    """Take one cell through its steps `done` + 1, `done` + 2, ... in place.

    Parameters
    ----------
    weights : (numbers,), the cell's row of `Stacked.weights`.
    moments : (2, numbers), Adam's.
    places : (layers, 2), where each layer's weight and bias begin in the row.
    widths : (layers + 1,), rows of the inputs and of every layer.
    x, y : (steps, features, B) and (steps, B).
    masks : (steps, hidden units, B), dropout's; or one step for all, of ones, without.
    probes : (steps, D, C, B), directions over the classes; or one step for all, the classes
        themselves, of the exact loss.
    target, per_example, scale : of the robustness loss: its target, its reduction, its factor.
    losses : (steps, 2), filled: classification, robustness.
    """
    number = weights.dtype.type
    steps, features, batch = x.shape
    classes = probes.shape[2]
    tabular = target == TABULAR_REVIEW  # one pull for all classes, and a residual for each
    pulls, residuals = (1, classes) if tabular else (probes.shape[1], probes.shape[1])
    rows = widths.sum()
    top = rows - widths[-1]

    values = np.empty((rows, batch), weights.dtype)
    slopes = np.empty((rows, batch), weights.dtype)
    adjoint = np.empty((rows, batch), weights.dtype)
    pulled = np.empty((pulls, rows, batch), weights.dtype)
    pushed = np.empty((rows, batch), weights.dtype)
    on_theta = np.empty((pulls, classes, batch), weights.dtype)
    on_h = np.empty((pulls, classes, batch), weights.dtype)
    r = np.empty((residuals, features, batch), weights.dtype)
    p = np.empty((classes, batch), weights.dtype)
    to_p = np.empty((classes, batch), weights.dtype)
    to_f = np.empty((classes, batch), weights.dtype)
    back = np.empty((classes, batch), weights.dtype)
    norms = np.empty(batch, weights.dtype)
    gradient = np.empty_like(weights)

    for step in range(steps):
        h, d = x[step], probes[step % len(probes)]
        values[:features] = h
        forward(weights, places, widths, masks[step % len(masks)], values, slopes)
        theta = values[top:]
        logits_of(h, theta, p)
        softmax(p)
        classification = number(0)
        for b in range(batch):
            classification -= np.log(p[y[step, b], b])

        for n in range(pulls):
            cotangents(target, d[n], p, on_theta[n], on_h[n])
            for k in range(features):
                for c in range(classes):
                    out, factor = pulled[n, top + k * classes + c], on_theta[n, c]
                    for b in range(batch):
                        out[b] = h[k, b] * factor[b]
            pull(weights, places, widths, slopes, pulled[n])
        for n in range(residuals):
            m = 0 if tabular else n
            for k in range(features):
                out, pulled_to = r[n, k], pulled[m, k]
                for b in range(batch):
                    out[b] = pulled_to[b]
                if target != LOGITS:
                    for c in range(classes):
                        share, factor = theta[k * classes + c], on_h[m, c]
                        for b in range(batch):
                            out[b] += share[b] * factor[b]
                if tabular:
                    share = theta[k * classes + n]
                    for b in range(batch):
                        out[b] -= share[b]
        losses[step, 0] = classification / batch
        losses[step, 1] = number(scale) * norm(r, per_example, norms)

        # From here on `norms` has the factors that make gradients of residuals.
        strength = number(robust_reg * scale / (batch if per_example else 1))
        for b in range(batch):
            norms[b] = strength / norms[b] if norms[b] > 0 else number(0)
        for n in range(residuals):
            for k in range(features):
                multiply(r[n, k], norms)
        gradient[:] = 0
        adjoint[top:] = 0
        to_p[:] = 0
        to_f[:] = 0
        for n in range(pulls):
            if tabular:
                pushed[:features] = 0
                for c in range(classes):
                    for k in range(features):
                        out, share, through = pushed[k], adjoint[top + k * classes + c], r[c, k]
                        for b in range(batch):
                            out[b] += through[b]
                            share[b] -= through[b]
            else:
                pushed[:features] = r[n]
            push(weights, places, widths, slopes, pushed)
            add_products(places, widths, pulled[n], pushed, gradient)
            back[:] = 0  # of the loss to what `cotangents` gave
            for k in range(features):
                for c in range(classes):
                    row = top + k * classes + c
                    up, share, out, factor = pushed[row], values[row], adjoint[row], on_h[n, c]
                    for b in range(batch):
                        back[c, b] += h[k, b] * up[b] + pushed[k, b] * share[b]
                        out[b] += pushed[k, b] * factor[b]
            cotangents_back(target, d[n], back, to_p)
        for b in range(batch):
            mean = number(0)
            for c in range(classes):
                mean += p[c, b] * to_p[c, b]
            for c in range(classes):
                to_f[c, b] += p[c, b] * (to_p[c, b] - mean) + p[c, b] / number(batch)
            to_f[y[step, b], b] -= number(1) / number(batch)
        for k in range(features):
            for c in range(classes):
                out = adjoint[top + k * classes + c]
                for b in range(batch):
                    out[b] += h[k, b] * to_f[c, b]
        pull(weights, places, widths, slopes, adjoint)
        add_products(places, widths, adjoint, values, gradient)
        add_sums(places, widths, adjoint, gradient)
        adam(weights, moments, gradient, lr, done + step + 1)


@compiled
def validate(
    weights: Array, places: Array, widths: Array, x: Array, y: Array, classes: int
) -> tuple[int, float]:
    """How many of x (features, N) one cell gets right, and its mean cross-entropy."""
    rows = widths.sum()
    features, examples = x.shape
    values = np.empty((rows, examples), weights.dtype)
    slopes = np.empty((rows, examples), weights.dtype)
    values[:features] = x
    masks = np.ones((rows - features - widths[-1], examples), weights.dtype)
    forward(weights, places, widths, masks, values, slopes)
    p = np.empty((classes, examples), weights.dtype)
    logits_of(x, values[rows - widths[-1] :], p)
    softmax(p)
    correct, cross_entropy = 0, weights.dtype.type(0)
    for n in range(examples):
        best = 0
        for c in range(1, classes):
            if p[c, n] > p[best, n]:
                best = c
        correct += best == y[n]
        cross_entropy -= np.log(p[y[n], n])
    return correct, cross_entropy / examples
