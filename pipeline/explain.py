"""Explain one input with a trained model: in Python, or ``python -m pipeline.explain``.

>>> from pipeline.explain import load
>>> model = load("compas_senn")
>>> explanation = model.explain({"Number_of_Priors": 3, "Age_Below_TwentyFive": 1})
>>> print(explanation)                       # prediction, concepts, relevances, contributions
>>> explanation.plot().savefig("why.png")
>>> print(load("reuters_senn").explain("Oil prices rose after OPEC cut output."))

docs/models.md says more. Nothing is trained, and no data are needed.
"""

import os
import signal
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.files import File
from pipeline.core.params_errors import did_you_mean
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.sharing.explanation import Explanation
from pipeline.sharing.files import Shared, read
from pipeline.sharing.inputs import Given, read_input

if TYPE_CHECKING:
    from pipeline.explanations.method import ExplanationMethod

REPOSITORY = Path(__file__).parents[1]
MODELS = REPOSITORY / "reports/models"
PREPARED = REPOSITORY / "data/prepared"


def names() -> list[str]:
    """The models that come with this repository, for `load`."""
    return sorted(_files())


def _files() -> dict[str, Path]:
    """Their files, by name; that of a model of the full run, presets/paper.yaml, is ``paper/…``."""
    folders = {"": MODELS, "paper/": MODELS.parent / "paper/models"}
    return {
        f"{prefix}{path.stem}": path
        for prefix, folder in folders.items()
        for path in folder.glob("*/*.safetensors")
    }


def load(model: "str | os.PathLike[str] | bytes") -> "Model":
    """The trained model called `model`.

    Parameters
    ----------
    model
        One of `names`; or the path of such a file, or of a cell's in models/ (which needs its
        dataset in data/prepared/); or the content of such a file, as `dvc.api.read` returns it.

    Raises
    ------
    PipelineError
        If there is no such model, or its file is damaged or was written by another version.
    """
    if isinstance(model, bytes):
        return Model(**vars(read(File(Path("the model"), model), PREPARED)))
    path, files = Path(model), _files()
    name = path.as_posix()
    if name in files:
        path = files[name]
    elif path.suffix != ".safetensors" and len(path.parts) == 1:
        hint = did_you_mean(name, files) or f"; has {', '.join(sorted(files)) or 'none'}"
        raise PipelineError(f"{MODELS}: has no model {name}{hint}")
    return Model(**vars(read(File(path), PREPARED)))


@dataclass(frozen=True)
class Model(Shared):
    """A trained SENN or DiSENN, and what it must know to explain an input.

    Attributes
    ----------
    senn : Senn
        The network, in evaluation mode; it takes normalised batches (B, *input_shape).
    about : dict
        The metadata of the file: params, seed, λ, digests of data and code, versions.
    facts : Facts
        Names, units, and what the training data were like.
    embeddings : Tensor or None
        For texts, a vector for each word of the vocabulary, (words, D).
    """

    @property
    def concept_names(self) -> tuple[str, ...]:
        """The features' plain names where these are the concepts, otherwise h1, h2, ….

        Of texts none: the concepts of each are its own words.
        """
        if self.senn.conceptizer.are_inputs:
            return self.facts.plain_names
        return tuple(f"h{k + 1}" for k in range(len(self.facts.concept_range)))

    @cached_property
    def methods(self) -> "dict[str, ExplanationMethod]":
        """The explanation methods, by the names that `explain` takes."""
        from pipeline.explanations.methods import methods_for

        return methods_for(self.senn)

    def explain(
        self, given: Given, method: str = "contribution", target: str | None = None
    ) -> Explanation:
        """Predict the class of one input, and explain it.

        Parameters
        ----------
        given
            A text; or an image file (its path); or a mapping from names of features to values in
            their own units, others are as usual in training; or raw values of a table or an image
            of shape `input_shape`, such as pixels in [0, 1] or, as whole numbers, in 0..255.
        method
            One of `methods`.
        target
            The class to explain, by its name; by default the predicted one.

        Raises
        ------
        PipelineError
            If the input, the method or the class cannot be; says what would be right.
        """
        input_ = read_input(self, given)
        chosen = self.methods[self._chosen("method", method, self.methods)]
        classes = self.facts.class_names
        x = input_.x.unsqueeze(0)
        with torch.no_grad():
            output = self.senn(x)
        logits, probabilities = output.logits[0], output.logits[0].softmax(0)
        predicted = int(logits.argmax())
        label = predicted
        if target is not None:
            label = classes.index(self._chosen("class", target, classes))
        others = logits.clone()
        others[label] = -torch.inf
        contrast = int(others.argmax())
        built = chosen.build(self.facts.background(self.input_shape))
        attributions = built(self.senn, x, torch.tensor([label]))[0].detach()
        concepts, relevances = output.concepts[0], output.relevances[0]
        names = input_.names if self.senn.conceptizer.are_inputs else self.concept_names
        if self.kind == "texts":  # of the words that there are, all numbers of each
            if chosen.speaks_of == "inputs":
                attributions = attributions.sum(1)
            attributions, concepts, relevances = (
                each[: len(names)] for each in (attributions, concepts, relevances)
            )
        return Explanation(
            model=str(self),
            kind=self.kind,
            input=input_.raw.numpy(),
            feature_names=input_.names,
            values=input_.values,
            logits=dict(zip(classes, logits.tolist(), strict=True)),
            probabilities=dict(zip(classes, probabilities.tolist(), strict=True)),
            prediction=classes[predicted],
            target=classes[label],
            contrast=classes[contrast],
            concept_names=names,
            concepts=concepts.numpy(),
            relevances=relevances[:, label].numpy(),
            contributions=(relevances[:, label] * concepts).numpy(),
            contrast_contributions=(relevances[:, contrast] * concepts).numpy(),
            method=chosen.name,
            label=chosen.label,
            attributions=attributions.numpy(),
            speaks_of=chosen.speaks_of,
            strips=self._strips(concepts),
            notes=tuple(input_.notes),
            warnings=(*input_.warnings, *self._unusual(concepts)),
            caveat=self.facts.caveat,
        )

    def _chosen(self, kind: str, name: str, allowed: Collection[str]) -> str:
        if name not in allowed:
            hint = did_you_mean(name, allowed) or f"; has {', '.join(allowed)}"
            raise PipelineError(f"{self}: has no {kind} {name}{hint}")
        return name

    def _strips(self, concepts: Tensor) -> np.ndarray | None:
        conceptizer = self.senn.conceptizer
        if not isinstance(conceptizer, VaeConceptizer) or self.kind != "images":
            return None
        from pipeline.explanations.latents import prototype_strips
        from pipeline.reporting.common import decoded
        from pipeline.reporting.explanations import STRIP_STEPS, STRIP_WIDTH

        assert self.facts.latent_spread is not None
        scale = torch.tensor(self.facts.latent_spread)
        strips = prototype_strips(conceptizer, concepts, scale, STRIP_STEPS, STRIP_WIDTH)
        return decoded(strips, conceptizer)

    def _unusual(self, concepts: Tensor) -> list[str]:
        """Which learned concepts have a value that no training example has."""
        if self.senn.conceptizer.are_inputs:
            return []
        values = zip(self.concept_names, concepts.tolist(), self.facts.concept_range, strict=True)
        return [
            f"Concept {name} is {value:.3g}; in training it was from {low:.3g} to {high:.3g}."
            for name, value, (low, high) in values
            if not low <= value <= high
        ]


if __name__ == "__main__":
    from pipeline.sharing.command import main

    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` ends it in silence
    main()
