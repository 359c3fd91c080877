"""Pretraining of the β-VAE that DiSENN starts from: one per seed, shared by all λ of that seed."""

import math
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from pipeline.core.dataset import file_of, read_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import File, write_bytes
from pipeline.core.fingerprint import provenance
from pipeline.core.run import Run
from pipeline.core.tasks import run_tasks
from pipeline.core.tensors import to_bytes
from pipeline.core.workers import Report
from pipeline.models.building import Inputs, build_vae
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.models.layers import placed
from pipeline.training.adam import Adam
from pipeline.training.objectives import kl_to_standard_normal, reconstruction_error, vae_loss
from pipeline.training.progress import TrainingProgress
from pipeline.training.randomness import batch_order, generator


def pretrain_all(run: Run) -> pd.DataFrame:
    """Pretrain a β-VAE per seed, write ``<models>/vae/seed=<s>.safetensors``, return their curves.

    Returns
    -------
    One row per seed and epoch: seed, epoch, train_loss, valid_loss, valid_reconstruction (in the
    objective's own units), valid_kl (nats).

    Raises
    ------
    PipelineError
        If a loss is not finite; names the seed.
    """
    seeds, settings = run.params.seeds, run.params.pretrain
    work = partial(_pretrain, run, file_of(run.prepared / settings.dataset))
    curves: dict[int, list[dict[str, float]]] = {}
    title = f"β-VAE: {len(seeds)} seeds"
    epochs = [settings.pretrain_epochs] * len(seeds)
    with TrainingProgress(title, epochs, "valid loss") as progress:
        done = run_tasks(work, seeds, run.device, run.params.compute, progress.epoch)
        for index, (rows, content) in done:
            write_bytes(run.vae(seeds[index]), content)
            curves[index] = rows
            progress.say(f"seed {seeds[index]} done, valid loss {rows[-1]['valid_loss']:.4g}")
    return pd.DataFrame([row for index in sorted(curves) for row in curves[index]])


def _pretrain(
    run: Run, file: File, seed: int, report: Report
) -> tuple[list[dict[str, float]], bytes]:
    """Pretrain one seed's β-VAE, in a worker: its curve, and the file of its weights."""
    settings, vae_params = run.params.pretrain, run.params.vae
    data = read_dataset(file)
    if settings.batch_size > len(data.train):
        raise PipelineError(
            f"params.yaml: pretrain.batch_size: must be ≤ the {len(data.train)} training examples, "
            f"got {settings.batch_size}"
        )
    inputs = Inputs(data.input_shape, data.mean, data.std)
    vae = placed(build_vae(vae_params, inputs, seed), run.device)
    train, valid = data.train.x.to(run.device), data.valid.x.to(run.device)
    parameters = list(vae.parameters())
    adam = Adam(parameters, settings.lr)

    rows = []
    for epoch in range(1, settings.pretrain_epochs + 1):
        noise = generator(seed, "pretrain noise", epoch, run.device)
        losses = []
        for index in batch_order(seed, epoch, len(train), settings.batch_size).to(run.device):
            x = train[index]
            concepts = vae(x, vae.draw_noise(len(index), noise))
            loss = vae_loss(vae, concepts, x, settings.pre_beta, vae_params.objective)
            adam.step(torch.autograd.grad(loss, parameters))
            losses.append(loss.detach())
        train_loss = torch.stack(losses).mean().item()
        validated = _validate(run, vae, valid)
        # The training losses are from before each update, the last one's effect is validation's.
        for split, value in (("training", train_loss), ("validation", validated["valid_loss"])):
            if not math.isfinite(value):
                raise PipelineError(
                    f"β-VAE seed={seed}: the {split} loss is {value} in epoch {epoch}. "
                    "Lower pretrain.lr in params.yaml."
                )
        rows.append({"seed": seed, "epoch": epoch, "train_loss": train_loss, **validated})
        report(epoch, rows[-1]["valid_loss"])
    metadata = {
        "seed": seed,
        "params": {
            "vae": vae_params.model_dump(mode="json"),
            "pretrain": settings.model_dump(mode="json"),
        },
        **provenance(data, run.device),
    }
    return rows, to_bytes(vae.state_dict(), metadata)


@torch.no_grad()
def _validate(run: Run, vae: VaeConceptizer, valid: Tensor) -> dict[str, float]:
    """Losses on the validation images at z = mean, without noise."""
    concepts = vae(valid)
    assert concepts.latent is not None
    reconstruction = reconstruction_error(vae, concepts, valid, run.params.vae.objective).item()
    kl = kl_to_standard_normal(concepts.latent).item()
    return {
        "valid_loss": reconstruction + run.params.pretrain.pre_beta * kl,
        "valid_reconstruction": reconstruction,
        "valid_kl": kl,
    }
