"""`operations` for JAX, as Flax modules: the same rules, and the same relevance up to rounding.

Optional: ``pip install -r requirements-jax.txt``. The notebook that this ports differs from its
PyTorch side and its formula in two places; here the formula holds. Its ``JaxDense.relprop`` clipped
a global x instead of its argument, and JAX has removed the argument of ``jnp.clip(a_min=...)``.
"""

from collections.abc import Sequence

from pipeline.core.errors import PipelineError

try:
    import flax.linen as fnn
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise PipelineError(
        f"relevance propagation in JAX needs JAX and Flax ({error}): "
        "pip install -r requirements-jax.txt"
    ) from error


def jax_safe_divide(a: jax.Array, b: jax.Array) -> jax.Array:
    """As `operations.safe_divide`."""
    divisor = jnp.clip(b, min=1e-9) + jnp.clip(b, max=1e-9)
    divisor = divisor + (divisor == 0).astype(divisor.dtype) * 1e-9
    return a / divisor * (b != 0).astype(b.dtype)


class JaxMatMul(fnn.Module):
    """As `operations.MatMul`."""

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.matmul(a, b)

    def relprop(
        self, relevance: jax.Array, a: jax.Array, b: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        z, gradient = jax.vjp(jnp.matmul, a, b)
        of_a, of_b = gradient(jax_safe_divide(relevance, z))
        return a * of_a, b * of_b


class JaxAdd(fnn.Module):
    """As `operations.Add`."""

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
        if a.shape != b.shape:
            raise PipelineError(
                f"JaxAdd needs two arrays of one shape, got {a.shape} and {b.shape}"
            )
        return jnp.add(a, b)

    def relprop(
        self, relevance: jax.Array, a: jax.Array, b: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        share = jax_safe_divide(relevance, self(a, b))
        of_a, of_b = a * share, b * share
        sum_a, sum_b, total = map(_per_example, (of_a, of_b, relevance))
        magnitude = jnp.abs(sum_a) + jnp.abs(sum_b)
        scale_a = jax_safe_divide(jax_safe_divide(jnp.abs(sum_a), magnitude) * total, sum_a)
        scale_b = jax_safe_divide(jax_safe_divide(jnp.abs(sum_b), magnitude) * total, sum_b)
        return of_a * scale_a, of_b * scale_b


def _per_example(values: jax.Array) -> jax.Array:
    """Sums over all dimensions but the first, (B, 1, ...)."""
    return values.sum(tuple(range(1, values.ndim)), keepdims=True)


class JaxIndexSelect(fnn.Module):
    """As `operations.IndexSelect`. Indices must be in range: JAX does not check them."""

    def __call__(self, x: jax.Array, dim: int, indices: jax.Array) -> jax.Array:
        return jnp.take(x, indices, axis=dim)

    def relprop(
        self, relevance: jax.Array, x: jax.Array, dim: int, indices: jax.Array
    ) -> jax.Array:
        _, gradient = jax.vjp(lambda x: self(x, dim, indices), x)
        (moved,) = gradient(relevance)
        return moved


class JaxClone(fnn.Module):
    """As `operations.Clone`."""

    def __call__(self, x: jax.Array, number: int) -> list[jax.Array]:
        return [x] * number

    def relprop(self, relevances: Sequence[jax.Array], x: jax.Array) -> jax.Array:
        return jnp.stack(relevances).sum(0)


class JaxDense(fnn.Dense):
    """As `operations.Dense`.

    Examples
    --------
    >>> layer = JaxDense(2)
    >>> variables = layer.init(key, x)
    >>> layer.apply(variables, relevance, x, method="relprop")
    """

    def relprop(self, relevance: jax.Array, x: jax.Array, alpha: float = 1.0) -> jax.Array:
        beta = alpha - 1
        kernel = self.variables["params"]["kernel"]
        x_pos, x_neg = jnp.clip(x, min=0), jnp.clip(x, max=0)
        w_pos, w_neg = jnp.clip(kernel, min=0), jnp.clip(kernel, max=0)
        activation = x_pos @ w_pos + x_neg @ w_neg
        inhibition = x_pos @ w_neg + x_neg @ w_pos
        # Where nothing inhibits, the activating part gets α - β, as in `rules.AlphaBeta`.
        alphas = jnp.where(inhibition == 0, alpha - beta, alpha)
        activated = jax_safe_divide(alphas * relevance, activation)
        inhibited = jax_safe_divide(beta * relevance, inhibition)
        return (
            x_pos * (activated @ w_pos.T - inhibited @ w_neg.T)
            + x_neg * (activated @ w_neg.T - inhibited @ w_pos.T)
        )  # fmt: skip
