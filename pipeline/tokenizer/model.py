"""The network that says where words end."""

import torch
from torch import Tensor, nn

from pipeline.models.layers import Linear
from pipeline.models.recurrent import Gru
from pipeline.models.standard import Unrolled, linear_layer
from pipeline.tokenizer.characters import ALPHABET


class Tokenizer(nn.Module):
    """Reads one-hot characters (B, T, 26) both ways; gives each a logit (B, T).

    It is positive where a word ends with the character. An input of zeros is no character.
    """

    def __init__(self, hidden_size: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.recurrent = Gru(len(ALPHABET), hidden_size, bidirectional=True)
            self.last = Linear(2 * hidden_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        states = self.recurrent(x)
        logits: Tensor = self.last(states.flatten(0, 1))
        return logits.view(x.shape[:2])

    def as_layers(self) -> nn.Sequential:
        """The same as layers that rules of relevance propagation know."""
        last = linear_layer(self.last.weight, self.last.bias)
        return nn.Sequential(Unrolled(self.recurrent), last, nn.Flatten())
