"""How the tokenizer is trained."""

import torch
from torch.nn import functional as F

from pipeline.core.params import Tokenizer as Settings
from pipeline.tokenizer.characters import Unspaced, encoded
from pipeline.tokenizer.model import Tokenizer
from pipeline.training.adam import Adam
from pipeline.training.randomness import batch_order


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
