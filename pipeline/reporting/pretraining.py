"""The report's section on the β-VAE: what it keeps of its inputs, and how pretraining went."""

from pipeline.data.dataset import Dataset
from pipeline.explanations.latents import ACTIVE_VARIANCE, active_units
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.reporting import wording
from pipeline.reporting.display import Picture, Prose, Several
from pipeline.reporting.examples import decoded, pick, raw
from pipeline.reporting.figures.image_rows import image_rows
from pipeline.reporting.figures.training import pretraining_curves
from pipeline.reporting.results import Results


def vae(results: Results) -> Several:
    """Reconstructions of the β-VAE, before and after DiSENN's training, and pretraining curves."""
    if not results.pretrained:
        return Several([Prose("No model of this run started from a pretrained β-VAE.")])
    data = results.vae_data
    conceptizers: dict[str, VaeConceptizer] = {"pretrained": results.vae}
    for name, experiment in results.experiments.items():
        if isinstance(conceptizer := experiment.model.conceptizer, VaeConceptizer):
            conceptizers[name] = conceptizer
    parts: list[Prose | Picture] = [Prose(_activity_sentence(conceptizers, data))]
    if data.has_images:
        x = data.test.x[pick(data.test.y, 10)]
        rows = {"input": raw(x, data).numpy()} | {
            name.replace("_", "\n"): decoded(conceptizer(x).reconstruction, conceptizer)
            for name, conceptizer in conceptizers.items()
        }
        figure = image_rows(rows, "What the β-VAE keeps of its inputs")
        alt = (
            "Test images, one of each class, over their reconstructions by the pretrained β-VAE "
            "and by the conceptizer of DiSENN after training."
        )
        parts.append(Picture(figure, "reconstructions", alt))
    curves = results.vae_curves
    figure = pretraining_curves(curves, "How pretraining went")
    seeds = wording.counted(curves["seed"].nunique(), "seed")
    parts.append(Picture(figure, "pretraining", f"The β-VAE’s losses against epochs, {seeds}."))
    return Several(parts)


def _activity_sentence(conceptizers: dict[str, VaeConceptizer], data: Dataset) -> str:
    """How much the latent variables say of the input, for the models whose pictures follow."""
    active = {
        name: active_units(conceptizer.posterior(data.test.x))
        for name, conceptizer in conceptizers.items()
    }
    total = next(iter(conceptizers.values())).mean_head.out_features
    said = [f"{count} ({name})" for name, count in active.items()]
    text = (
        f"Of the {total} latent variables, so many depend on the input at all (the variance of "
        f"their mean over test images is above {ACTIVE_VARIANCE:g}): {wording.listed(said)}."
    )
    if active["pretrained"] == 0:
        text += (
            " The pretrained β-VAE has collapsed to its prior: it draws the same picture "
            "whatever it is shown."
        )
    return text
