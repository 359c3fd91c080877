"""What all methods explain: a model's logit of one class per example."""

from torch import Tensor, nn

from pipeline.models.senn import Senn


def logits(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (B, C) of inputs (B, *input_shape), of a `Senn` or a module that answers with them.

    For methods to which the model is a differentiable function; a `Senn` computes so twice as fast
    as by its `layered` form, which those need that go through it layer by layer.
    """
    if isinstance(model, Senn):
        return model.aggregator(model.conceptizer.encode(x), model.parameterizer(x))
    answered: Tensor = model(x)
    return answered


def target_logit(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The logit f_c(x) of each example's class c = `target`, (B,)."""
    return logits(model, x).gather(1, target.unsqueeze(1)).squeeze(1)
