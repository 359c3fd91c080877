"""The network that says where words end, and how it is trained."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.params import Tokenizer as Settings
from pipeline.models.layers import Linear
from pipeline.models.recurrent import Gru
from pipeline.models.standard import Unrolled, linear_layer
from pipeline.tokenizer.characters import ALPHABET, Unspaced, encoded
from pipeline.training.adam import Adam
from pipeline.training.randomness import batch_order


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


def train(texts: Unspaced, settings: Settings, seed: int) -> Tokenizer:
    """A tokenizer trained on windows (N, T), by the cross-entropy of every character's end.

    Its weights depend on `texts`, `settings` and `seed` alone.
    """
    model = Tokenizer(settings.hidden_size, seed)
    parameters = list(model.parameters())
    optimizer = Adam(parameters, settings.lr)
    ends = texts.ends.float()
    for epoch in range(settings.epochs):
        for rows in batch_order(seed, epoch, len(ends), settings.batch_size):
            logits = model(encoded(texts.characters[rows].unbind()))
            loss = F.binary_cross_entropy_with_logits(logits, ends[rows])
            optimizer.step(torch.autograd.grad(loss, parameters))
    return model.eval().requires_grad_(False)
