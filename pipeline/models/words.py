"""A SENN of words: concepts are the words of a text, relevances come from a recurrent network.

With h_w = 1 for every word w, a logit is the sum of what each word says for its class, as read in
its context: f_c = Σ_w θ_wc.
"""

from torch import Tensor, nn

from pipeline.core.dataset import is_word, present
from pipeline.models.conceptizers import Conceptizer
from pipeline.models.layers import Linear
from pipeline.models.parameterizers import Masks, Parameterizer
from pipeline.models.recurrent import Gru, Lstm
from pipeline.models.standard import OfWords, Presence, Unrolled, linear_layer

CELLS = {"gru": Gru, "lstm": Lstm}


class WordsConceptizer(Conceptizer):
    """h_w = 1 where there is a word, 0 where there is none: constant, so its Jacobian is 0.

    There is nothing to reconstruct of the embeddings but their mean, 0.
    """

    is_aligned, are_inputs = False, True

    def __init__(self, input_shape: tuple[int, ...], num_concepts: int) -> None:
        super().__init__()
        if len(input_shape) != 2 or num_concepts != input_shape[0]:
            raise ValueError(
                "words need num_concepts to be the number of words of a text; inputs have shape "
                f"{input_shape}, num_concepts is {num_concepts}"
            )
        self.embedding_size = input_shape[1]

    def as_layers(self) -> list[nn.Module]:
        return [Presence()]

    def encode(self, x: Tensor) -> Tensor:
        # A function of x for whoever differentiates it.
        return is_word(x) + 0 * x.sum(2)

    def decode(self, concepts: Tensor) -> Tensor:
        return concepts.new_zeros(*concepts.shape, self.embedding_size)


class RecurrentParameterizer(Parameterizer):
    """A linear map from the state at every word, in both directions if `bidirectional`.

    A unit is dropped at all words of a text alike (Gal and Ghahramani 2016).
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_concepts: int,
        num_classes: int,
        dropout: float,
        cell: str,
        hidden_size: int,
        bidirectional: bool,
    ) -> None:
        units = hidden_size * (1 + bidirectional)
        super().__init__(num_concepts, num_classes, dropout, [(1, units)])
        if len(input_shape) != 2 or num_concepts != input_shape[0]:
            raise ValueError(
                "a recurrent network gives every word of a text relevances; inputs have shape "
                f"{input_shape}, num_concepts is {num_concepts}"
            )
        self.recurrent = CELLS[cell](input_shape[1], hidden_size, bidirectional)
        self.linear = Linear(units, num_classes)

    def as_layers(self) -> list[nn.Module]:
        linear = linear_layer(self.linear.weight, self.linear.bias)
        return [OfWords(Unrolled(self.recurrent), linear)]

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        states: Tensor = self.recurrent(x)
        if masks is not None:
            states = states * masks[0]
        relevances: Tensor = self.linear(states.flatten(0, 1)).unflatten(0, x.shape[:2])
        return relevances * present(x)
