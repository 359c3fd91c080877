"""Training steps of a SENN on a table, fused into one compiled call.

A perceptron of a few hundred weights is so small that most of its training would be calls of
library functions. The gradients here are those that autograd finds for `Objective` (tests hold
that), written out. Between its ReLUs θ is linear in x, so

- a residual is a *pull*: a cotangent on θ, taken down through the transposed layers;
- the loss's gradient G with respect to a residual goes back as a *push*: G taken up through the
  layers ends as the gradient of the cotangent, and every layer's weights get the product of what
  was pulled to its outputs and what was pushed to its inputs.

`robustness` has the same loss, and says what cotangents and residuals are, and why;
tests/training/test_table_stepping.py holds the two equal. Arrays are (rows, B): the inputs',
then all layers' outputs one below the other, those of θ concept by concept. Inner loops run over
examples, contiguous in memory, and are vectorised. Rows are named by their numbers: a view of one
would be counted as a reference, again and again.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
F = TypeVar("F", bound=Callable[..., Any])

LOGITS, LOG_SOFTMAX, TABULAR_REVIEW = range(3)  # what the robustness loss differentiates
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as in torch

LOG2_E = 1 / math.log(2)
# ln 2 in two parts; the first has so few digits that its multiples by powers of two are exact.
LN2_HIGH, LN2_LOW = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
TAYLOR = tuple(1 / math.factorial(n) for n in range(13, -1, -1))


def _compiler(freedom: set[str]) -> Callable[[F], F]:
    """What compiles a function for the processor that `portable` names, with LLVM's `freedom`."""
    return cast(Callable[[F], F], njit(cache=True, error_model="numpy", fastmath=freedom))


# With sums in an order to be vectorised. What a function writes to one argument it must not read
# from another.
compiled = _compiler({"reassoc", "contract", "nsz"})
# With sums in the order they are written in.
in_order = _compiler({"contract"})

# numba's `exp`, `log` and `**` are the C library's, which differ from machine to machine.


@in_order
def exp(x: float) -> float:
    """eˣ of x ≤ 0, to a unit in the last place of a float64; e⁻⁷⁰⁸ below −708.

    x = n ln 2 + r with |r| ≤ ln 2 / 2; eʳ by its Taylor series, 2ⁿ by its bits.
    """
    bounded = max(np.float64(x), -708.0)
    n = np.rint(bounded * LOG2_E)
    r = (bounded - n * LN2_HIGH) - n * LN2_LOW
    series = TAYLOR[0]
    for i in range(1, len(TAYLOR)):
        series = series * r + TAYLOR[i]
    return series * np.int64((np.int64(n) + 1023) << 52).view(np.float64)


@in_order
def log(x: float) -> float:
    """ln x of a normal x > 0, to two units in the last place of a float64.

    x = 2ⁿ m with m in [√½, √2]; ln m = 2 artanh((m − 1) / (m + 1)) by its series.
    """
    bits = np.float64(x).view(np.int64)
    n = (bits >> 52) - 1023
    m = np.int64(bits - (n << 52)).view(np.float64)
    if m > np.sqrt(2.0):
        m, n = m / 2, n + 1
    ratio = (m - 1) / (m + 1)
    series = 0.0
    for power in range(23, 0, -2):
        series = series * ratio * ratio + 1 / power
    return n * LN2_HIGH + (n * LN2_LOW + 2 * ratio * series)


@in_order
def power(base: float, exponent: int) -> float:
    """base to a whole exponent ≥ 0, by squaring."""
    result = 1.0
    while exponent > 0:
        if exponent % 2 == 1:
            result *= base
        base *= base
        exponent //= 2
    return result


@compiled
def forward(
    weights: Array, places: Array, starts: Array, masks: Array, values: Array, slopes: Array
) -> None:
    """Fill the layers' rows of `values`, and the hidden ones of `slopes`, ReLU's and dropout's."""
    number, batch, features = weights.dtype.type, values.shape[1], starts[1]
    for layer in range(len(places)):
        weight, bias = places[layer]
        below, begin, end = starts[layer], starts[layer + 1], starts[layer + 2]
        for row in range(begin, end):
            for b in range(batch):
                values[row, b] = weights[bias + row - begin]
        combine(weights, weight, begin - below, 1, values, below, begin, values, begin, end)
        if layer < len(places) - 1:
            for row in range(begin, end):
                for b in range(batch):
                    value = values[row, b] * masks[row - features, b]
                    slopes[row, b] = masks[row - features, b] if value > 0 else number(0)
                    values[row, b] = value if value > 0 else number(0)


@compiled
def pull(
    weights: Array, places: Array, starts: Array, slopes: Array, g: Array, lowest: int
) -> None:
    """Take a cotangent on θ, in the last rows of `g`, down to what goes into layer `lowest`."""
    for layer in range(len(places) - 1, lowest - 1, -1):
        begin, below, end = starts[layer], starts[layer + 1], starts[layer + 2]
        clear(g, begin, below)
        combine(weights, places[layer, 0], 1, below - begin, g, below, end, g, begin, below)
        if layer > 0:
            multiply(g, slopes, begin, below)


@compiled
def push(weights: Array, places: Array, starts: Array, slopes: Array, t: Array) -> None:
    """Take a change of x, in the first rows of `t`, up to that of θ, by way of all rows."""
    for layer in range(len(places)):
        below, begin, end = starts[layer], starts[layer + 1], starts[layer + 2]
        clear(t, begin, end)
        combine(weights, places[layer, 0], begin - below, 1, t, below, begin, t, begin, end)
        if layer < len(places) - 1:
            multiply(t, slopes, begin, end)


@compiled
def combine(
    factors: Array,
    place: int,
    per_out: int,
    per_row: int,
    rows: Array,
    first: int,
    last: int,
    out: Array,
    begin: int,
    end: int,
) -> None:
    """out[begin + o] += Σ_i factors[place + o · per_out + i · per_row] rows[first + i].

    Of `rows` it takes those before `last`, of `out` those before `end`: two of these at a time, and
    six of those, so that numbers once loaded serve several products.
    """
    batch = rows.shape[1]
    for i in range(first, last, 6):
        r1, r2, r3 = min(i + 1, last - 1), min(i + 2, last - 1), min(i + 3, last - 1)
        r4, r5 = min(i + 4, last - 1), min(i + 5, last - 1)
        at = place + (i - first) * per_row
        left = last - i
        for o in range(begin, end - 1, 2):
            u0, u1, u2, u3, u4, u5 = six(factors, at + (o - begin) * per_out, per_row, left)
            v0, v1, v2, v3, v4, v5 = six(factors, at + (o + 1 - begin) * per_out, per_row, left)
            for b in range(batch):
                out[o, b] += (
                    u0 * rows[i, b]
                    + u1 * rows[r1, b]
                    + u2 * rows[r2, b]
                    + u3 * rows[r3, b]
                    + u4 * rows[r4, b]
                    + u5 * rows[r5, b]
                )
                out[o + 1, b] += (
                    v0 * rows[i, b]
                    + v1 * rows[r1, b]
                    + v2 * rows[r2, b]
                    + v3 * rows[r3, b]
                    + v4 * rows[r4, b]
                    + v5 * rows[r5, b]
                )
        if (end - begin) % 2 == 1:
            o = end - 1
            u0, u1, u2, u3, u4, u5 = six(factors, at + (o - begin) * per_out, per_row, left)
            for b in range(batch):
                out[o, b] += (
                    u0 * rows[i, b]
                    + u1 * rows[r1, b]
                    + u2 * rows[r2, b]
                    + u3 * rows[r3, b]
                    + u4 * rows[r4, b]
                    + u5 * rows[r5, b]
                )


@compiled
def six(factors: Array, at: int, stride: int, count: int) -> tuple[Any, ...]:
    """Six of `factors` from `at` on, 0 for those from `count` on."""
    zero = factors.dtype.type(0)
    return (
        factors[at],
        factors[at + stride] if count > 1 else zero,
        factors[at + 2 * stride] if count > 2 else zero,
        factors[at + 3 * stride] if count > 3 else zero,
        factors[at + 4 * stride] if count > 4 else zero,
        factors[at + 5 * stride] if count > 5 else zero,
    )


@compiled
def clear(out: Array, begin: int, end: int) -> None:
    """out[row] = 0 for the rows before `end`."""
    out[begin:end] = 0


@compiled
def multiply(out: Array, factors: Array, begin: int, end: int) -> None:
    """out[row] *= factors[row] for the rows before `end`."""
    for row in range(begin, end):
        for b in range(out.shape[1]):
            out[row, b] *= factors[row, b]


@compiled
def add_products(
    places: Array, starts: Array, above: Array, beneath: Array, gradient: Array
) -> None:
    """Add every layer's Σ_b above·beneath to the gradient of its weights."""
    zero, batch = gradient.dtype.type(0), above.shape[1]
    for layer in range(len(places)):
        below, begin, end = starts[layer], starts[layer + 1], starts[layer + 2]
        inputs = begin - below
        for o in range(begin, end, 2):
            p = min(o + 1, end - 1)
            for i in range(below, begin, 4):
                j, k, m = min(i + 1, begin - 1), min(i + 2, begin - 1), min(i + 3, begin - 1)
                oi = oj = ok = om = pi = pj = pk = pm = zero
                for b in range(batch):
                    oi += above[o, b] * beneath[i, b]
                    oj += above[o, b] * beneath[j, b]
                    ok += above[o, b] * beneath[k, b]
                    om += above[o, b] * beneath[m, b]
                    pi += above[p, b] * beneath[i, b]
                    pj += above[p, b] * beneath[j, b]
                    pk += above[p, b] * beneath[k, b]
                    pm += above[p, b] * beneath[m, b]
                at = places[layer, 0] + (o - begin) * inputs + i - below
                add_four(gradient, at, begin - i, oi, oj, ok, om)
                if p > o:
                    add_four(gradient, at + inputs, begin - i, pi, pj, pk, pm)


@compiled
def add_four(out: Array, at: int, count: int, a: Any, b: Any, c: Any, d: Any) -> None:
    """Add the first `count` of four numbers to `out` from `at` on."""
    out[at] += a
    if count > 1:
        out[at + 1] += b
    if count > 2:
        out[at + 2] += c
    if count > 3:
        out[at + 3] += d


@compiled
def add_sums(places: Array, starts: Array, above: Array, gradient: Array) -> None:
    """Add every layer's Σ_b above to the gradient of its biases."""
    for layer in range(len(places)):
        begin, end = starts[layer + 1], starts[layer + 2]
        for row in range(begin, end):
            total = gradient.dtype.type(0)
            for b in range(above.shape[1]):
                total += above[row, b]
            gradient[places[layer, 1] + row - begin] += total


@compiled
def adam(weights: Array, moments: Array, gradient: Array, lr: float, step: int) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1)."""
    number = weights.dtype.type
    rate = number(lr / (1 - power(BETA1, step)))
    unbiased = number(1 / np.sqrt(1 - power(BETA2, step)))
    first, second, epsilon = number(1 - BETA1), number(1 - BETA2), number(EPSILON)
    for i in range(len(weights)):
        moments[0, i] += first * (gradient[i] - moments[0, i])
        moments[1, i] += second * (gradient[i] * gradient[i] - moments[1, i])
        weights[i] -= rate * moments[0, i] / (np.sqrt(moments[1, i]) * unbiased + epsilon)


@compiled
def softmax(logits: Array, y: Array, p: Array) -> float:
    """Softmax p over the classes of `logits` (C, B); Σ_b of the cross-entropy with classes y (B).

    An example's cross-entropy is log Σ_c exp(f_c − max f) − (f_y − max f). The logarithm is taken
    of a product over examples, of few enough to stay far from overflow: every factor is at most C.
    """
    classes, batch = logits.shape
    number = logits.dtype.type
    highest, total = logits[0].copy(), np.zeros(batch, logits.dtype)
    for c in range(1, classes):
        for b in range(batch):
            highest[b] = max(highest[b], logits[c, b])
    for c in range(classes):
        for b in range(batch):
            p[c, b] = number(exp(logits[c, b] - highest[b]))
            total[b] += p[c, b]
    for c in range(classes):
        for b in range(batch):
            p[c, b] /= total[b]
    cross_entropy, product = 0.0, 1.0
    for b in range(batch):
        cross_entropy += highest[b] - logits[y[b], b]
        product *= total[b]
        if b % 16 == 15:
            cross_entropy += log(product)
            product = 1.0
    return cross_entropy + log(product)


@compiled
def logits_of(h: Array, theta: Array, top: int, out: Array) -> None:
    """f_c = Σ_k h_k θ_kc, (C, B), of h (K, B) and θ, the rows from `top` on, K · C of them."""
    classes, batch = out.shape
    out[:] = 0
    for k in range(len(h)):
        for c in range(classes):
            for b in range(batch):
                out[c, b] += h[k, b] * theta[top + k * classes + c, b]


@compiled
def cotangents(target: int, d: Array, p: Array, on_theta: Array, on_h: Array) -> None:
    """Factors of direction d (C, B): h_k · on_theta_c on θ_kc, Σ_c θ_kc · on_h_c on h_k."""
    classes, batch = d.shape
    one = p.dtype.type(1)
    if target == TABULAR_REVIEW:
        for c in range(classes):
            for b in range(batch):
                on_h[c, b] = one - classes * p[c, b]
                on_theta[c, b] = on_h[c, b]
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
    starts: Array,
    inputs: Array,
    classes_of: Array,
    examples: Array,
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
    weights : (numbers,), the cell's row (`models.stacking`).
    moments : (2, numbers), Adam's.
    places : (layers, 2), where each layer's weight and bias begin in the row.
    starts : (layers + 2,), where the rows of the inputs and of every layer begin, and the end.
    inputs, classes_of : (features, N) and (N,), all there is to train on.
    examples : (steps, B), which of them each batch has.
    masks : (steps, hidden units, B), dropout's; or one step for all, of ones, without.
    probes : (steps, D, C, B), directions over the classes; or one step for all, the classes
        themselves, of the exact loss.
    target, per_example, scale : of the robustness loss: its target, its reduction, its factor.
    losses : (steps, 2), filled: classification, robustness.
    """
    number = weights.dtype.type
    features, top, rows = starts[1], starts[-2], starts[-1]
    steps, batch = examples.shape
    classes = probes.shape[2]
    tabular = target == TABULAR_REVIEW  # one pull for all classes, and a residual for each
    pulls, residuals = (1, classes) if tabular else (probes.shape[1], probes.shape[1])

    values = np.empty((rows, batch), weights.dtype)
    slopes = np.empty((rows, batch), weights.dtype)
    adjoint = np.empty((rows, batch), weights.dtype)
    pulled = np.empty((pulls, rows, batch), weights.dtype)
    pushed = np.empty((rows, batch), weights.dtype)
    on_theta = np.empty((pulls, classes, batch), weights.dtype)
    on_h = np.empty((pulls, classes, batch), weights.dtype)
    r = np.empty((residuals, features, batch), weights.dtype)
    f = np.empty((classes, batch), weights.dtype)
    p = np.empty((classes, batch), weights.dtype)
    to_p = np.empty((classes, batch), weights.dtype)
    to_f = np.empty((classes, batch), weights.dtype)
    back = np.empty((classes, batch), weights.dtype)
    norms = np.empty(batch, weights.dtype)
    gradient = np.empty_like(weights)
    h = values[:features]

    for step in range(steps):
        d = probes[step % len(probes)]
        labels = classes_of[examples[step]]
        for k in range(features):
            for b in range(batch):
                values[k, b] = inputs[k, examples[step, b]]
        forward(weights, places, starts, masks[step % len(masks)], values, slopes)
        logits_of(h, values, top, f)
        classification = softmax(f, labels, p)

        for n in range(pulls):
            cotangents(target, d[n], p, on_theta[n], on_h[n])
            for k in range(features):
                for c in range(classes):
                    for b in range(batch):
                        pulled[n, top + k * classes + c, b] = h[k, b] * on_theta[n, c, b]
            pull(weights, places, starts, slopes, pulled[n], 0)
        for n in range(residuals):
            m = 0 if tabular else n
            for k in range(features):
                for b in range(batch):
                    r[n, k, b] = pulled[m, k, b]
                if target != LOGITS:
                    for c in range(classes):
                        for b in range(batch):
                            r[n, k, b] += values[top + k * classes + c, b] * on_h[m, c, b]
                if tabular:
                    for b in range(batch):
                        r[n, k, b] -= values[top + k * classes + n, b]
        losses[step, 0] = classification / batch
        losses[step, 1] = number(scale) * norm(r, per_example, norms)

        # From here on `norms` has the factors that make gradients of residuals.
        strength = number(robust_reg * scale / (batch if per_example else 1))
        for b in range(batch):
            norms[b] = strength / norms[b] if norms[b] > 0 else number(0)
        for n in range(residuals):
            for k in range(features):
                for b in range(batch):
                    r[n, k, b] *= norms[b]
        gradient[:] = 0
        adjoint[top:] = 0
        to_p[:] = 0
        for n in range(pulls):
            if tabular:
                pushed[:features] = 0
                for c in range(classes):
                    for k in range(features):
                        for b in range(batch):
                            pushed[k, b] += r[c, k, b]
                            adjoint[top + k * classes + c, b] -= r[c, k, b]
            else:
                pushed[:features] = r[n]
            push(weights, places, starts, slopes, pushed)
            add_products(places, starts, pulled[n], pushed, gradient)
            back[:] = 0  # of the loss to what `cotangents` gave
            for k in range(features):
                for c in range(classes):
                    row = top + k * classes + c
                    for b in range(batch):
                        back[c, b] += h[k, b] * pushed[row, b] + pushed[k, b] * values[row, b]
                        adjoint[row, b] += pushed[k, b] * on_h[n, c, b]
            cotangents_back(target, d[n], back, to_p)
        one_each = number(1) / number(batch)
        for b in range(batch):
            mean = number(0)
            for c in range(classes):
                mean += p[c, b] * to_p[c, b]
            for c in range(classes):
                to_f[c, b] = p[c, b] * (to_p[c, b] - mean + one_each)
            to_f[labels[b], b] -= one_each
        for k in range(features):
            for c in range(classes):
                for b in range(batch):
                    adjoint[top + k * classes + c, b] += h[k, b] * to_f[c, b]
        pull(weights, places, starts, slopes, adjoint, 1)
        add_products(places, starts, adjoint, values, gradient)
        add_sums(places, starts, adjoint, gradient)
        adam(weights, moments, gradient, lr, done + step + 1)


@compiled
def validate(weights: Array, places: Array, starts: Array, x: Array, y: Array) -> tuple[int, float]:
    """How many of x (features, N) one cell gets right, and its mean cross-entropy."""
    top, rows = starts[-2], starts[-1]
    features, examples = x.shape
    classes = (rows - top) // features
    values = np.empty((rows, examples), weights.dtype)
    slopes = np.empty((rows, examples), weights.dtype)
    values[:features] = x
    masks = np.ones((top - features, examples), weights.dtype)
    forward(weights, places, starts, masks, values, slopes)
    f = np.empty((classes, examples), weights.dtype)
    p = np.empty((classes, examples), weights.dtype)
    logits_of(x, values, top, f)
    cross_entropy = softmax(f, y, p)
    return (f.argmax(0) == y).sum(), cross_entropy / examples
