"""A SENN as a module of standard layers, for methods that go through a network layer by layer.

The models here compute with layers of their own (`pipeline.models.layers`), which libraries of
explanations and rules of relevance propagation do not know. `layered` says the same function in
``torch.nn``'s words, with the same weights: each part of the model knows them (``as_layers``).
"""

from torch import Tensor, nn

from pipeline.models.senn import Senn, sum_aggregator
from pipeline.models.standard import WordSum, unknown
from pipeline.models.words import WordsConceptizer


class WeightedSum(nn.Module):
    """Logits f_c = Σ_k θ_kc h_k of concepts (B, K) and relevances (B, K, C): (B, C)."""

    def forward(self, concepts: Tensor, relevances: Tensor) -> Tensor:
        return sum_aggregator(concepts, relevances)


class LayeredSenn(nn.Module):
    """A `Senn` in evaluation mode, without decoder: (B, *input_shape) to logits (B, C).

    `concepts` is h, (B, *input_shape) to (B, K), and `relevances` is θ, to (B, K, C). Except in a
    recurrent network no layer is used twice, as libraries that hook layers require.
    """

    def __init__(
        self, concepts: nn.Sequential, relevances: nn.Sequential, product: nn.Module
    ) -> None:
        super().__init__()
        self.concepts, self.relevances, self.product = concepts, relevances, product

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.product(self.concepts(x), self.relevances(x))
        return logits


def layered(model: nn.Module) -> nn.Module:
    """A `Senn` as layers of ``torch.nn``; any other module as it is.

    Nothing is copied: the layers have the model's weights, and see it when these change in place.

    Raises
    ------
    PipelineError
        If a part of the `Senn` does not say what layers it is made of.
    """
    if not isinstance(model, Senn):
        return model
    if model.aggregator is not sum_aggregator:
        raise unknown("aggregator", model.aggregator)
    layers = LayeredSenn(
        nn.Sequential(*model.conceptizer.as_layers()),
        nn.Sequential(*model.parameterizer.as_layers()),
        WordSum() if isinstance(model.conceptizer, WordsConceptizer) else WeightedSum(),
    )
    return layers.train(model.training)
