import dataclasses
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from pipeline.core.dataset import load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.params import Params
from pipeline.core.run import Run
from pipeline.core.tensors import read_tensors
from pipeline.models.building import Inputs, build_vae
from pipeline.training.pretrain import pretrain_all
from pipeline.training.randomness import batch_order, generator
from tests.models.textbook import Architecture, Textbook, same_weights
from tests.training.grids import CPU, settings, write_digits

pytestmark = pytest.mark.usefixtures("in_this_process")
SHORT = {
    "seeds": [3, 7],
    "pretrain.pretrain_epochs": 3,
    "pretrain.batch_size": 12,
    "pretrain.pre_beta": 0.01,
    "pretrain.lr": 0.005,
}
COLUMNS = ["seed", "epoch", "train_loss", "valid_loss", "valid_reconstruction", "valid_kl"]


@pytest.fixture
def job(tmp_path):
    """``job(changes, models="models")``: a run with 56 training images."""
    write_digits(tmp_path / "data/mnist_5k", train=56, valid=40)

    def make(changes: dict | None = None, models: str = "models") -> Run:
        params = settings({**SHORT, **(changes or {})})
        return Run(params, CPU, tmp_path / "data", tmp_path / models)

    return make


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kl_of(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()


@pytest.mark.parametrize("target", ["review2020", "unit"])
@pytest.mark.parametrize("objective", ["review2020", "elbo"])
def test_trains_as_the_textbook_does(job, objective, target):
    this = job({"vae.objective": objective, "vae.target": target, "seeds": [3]})
    curves = pretrain_all(this)
    params, data = this.params, load_dataset(this.prepared / "mnist_5k")
    vae = build_vae(params.vae, Inputs(data.input_shape, data.mean, data.std), seed=3)
    sizes = Architecture(
        data.input_shape, 5, 1, "vae", vae_sizes=(32, 16), target=target, mean=data.mean
    )
    plain = Textbook(dataclasses.replace(sizes, std=data.std))
    network = same_weights_of_the_vae(vae, plain)
    parameters = [p for p in plain.parameters() if p not in set(plain.layers.parameters())]
    adam = torch.optim.Adam(parameters, lr=0.005)

    def losses(x, noise):
        mean, logvar = network.posterior(x)
        z = mean if noise is None else mean + (logvar / 2).exp() * noise
        error = network.decode(z) - x
        if target == "unit":
            error = error * data.std  # from normalised units to pixels in [0, 1]
        reconstruction = (
            (error**2).mean() if objective == "review2020" else (error**2).sum() / len(x)
        )
        return reconstruction, kl_of(mean, logvar)

    for epoch in (1, 2, 3):
        noise, trained = generator(3, "pretrain noise", epoch, CPU), []
        for index in batch_order(3, epoch, 56, 12):
            drawn = torch.randn(12, 5, generator=noise)
            reconstruction, kl = losses(data.train.x[index], drawn)
            loss = reconstruction + 0.01 * kl
            adam.zero_grad()
            loss.backward()
            adam.step()
            trained.append(loss.item())
        reconstruction, kl = (term.item() for term in losses(data.valid.x, None))
        expected = {
            "seed": 3,
            "epoch": epoch,
            "train_loss": sum(trained) / len(trained),
            "valid_loss": reconstruction + 0.01 * kl,
            "valid_reconstruction": reconstruction,
            "valid_kl": kl,
        }
        assert curves.iloc[epoch - 1].to_dict() == pytest.approx(expected, rel=1e-3)
    weights, _ = read_tensors(this.vae(3))
    for ours, theirs in zip(
        (weights[name] for name, _ in vae.named_parameters()), parameters, strict=True
    ):
        # Adam moves a weight by up to lr a step, whatever its gradient: a hundredth of that.
        assert_close(ours, theirs.detach(), rtol=1e-3, atol=1e-4)


def same_weights_of_the_vae(vae: torch.nn.Module, network: Textbook) -> Textbook:
    """Copy the weights of `vae` into `network`, whose parameterizer plays no part."""
    layers, network.layers = network.layers, torch.nn.ModuleList()
    same_weights(vae, network)
    network.layers = layers
    return network


def test_the_loss_falls(job):
    curves = pretrain_all(job({"pretrain.pretrain_epochs": 15}))
    assert list(curves.columns) == COLUMNS
    assert curves["seed"].tolist() == [3] * 15 + [7] * 15
    assert curves["epoch"].tolist() == [*range(1, 16)] * 2
    for _, curve in curves.groupby("seed"):
        for loss in ("train_loss", "valid_loss"):
            assert curve[loss].iloc[-1] < 0.9 * curve[loss].iloc[0]


def test_same_bytes_twice_and_whoever_else_is_trained(job, tmp_path):
    pretrain_all(job())
    torch.manual_seed(99)
    pretrain_all(job(models="again"))
    pretrain_all(job({"seeds": [9, 7]}, models="others"))
    first = contents(tmp_path / "models/vae")
    assert sorted(first) == ["seed=3.safetensors", "seed=7.safetensors"]
    assert contents(tmp_path / "again/vae") == first
    assert contents(tmp_path / "others/vae")["seed=7.safetensors"] == first["seed=7.safetensors"]
    weights = [read_tensors(tmp_path / f"models/vae/seed={seed}.safetensors")[0] for seed in (3, 7)]
    assert not any(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_file_says_all_about_itself(job):
    this = job()
    pretrain_all(this)
    _, metadata = read_tensors(this.vae(7))
    data = load_dataset(this.prepared / "mnist_5k")
    params: Params = this.params
    assert metadata["seed"] == 7
    assert metadata["params"]["vae"] == params.vae.model_dump(mode="json")
    assert metadata["params"]["pretrain"] == params.pretrain.model_dump(mode="json")
    assert metadata["data"] == data.digest
    assert tuple(metadata["input_shape"]) == data.input_shape
    assert (metadata["mean"], metadata["std"]) == (data.mean, data.std)
    assert metadata["torch"] == torch.__version__.partition("+")[0]
    assert metadata["device"].startswith("cpu") and len(metadata["code"]) == 64


def test_a_loss_that_is_not_finite_names_the_seed(job, tmp_path):
    with pytest.raises(PipelineError, match=r"seed=3: the training loss .* epoch 1.*pretrain\.lr"):
        pretrain_all(job({"pretrain.lr": 1e30, "vae.objective": "elbo", "pretrain.pre_beta": 1e30}))
    assert not (tmp_path / "models").exists()


def test_the_last_step_is_checked_too(job, tmp_path):
    # One step, whose loss is that of the initial weights and finite.
    one = {"pretrain.lr": 1e30, "pretrain.pretrain_epochs": 1, "pretrain.batch_size": 56}
    with pytest.raises(PipelineError, match=r"seed=3: the validation loss .* epoch 1.*pretrain"):
        pretrain_all(job(one))
    assert not (tmp_path / "models").exists()


def test_a_batch_larger_than_the_data(job, tmp_path):
    message = r"^params\.yaml: pretrain\.batch_size: must be ≤ the 56 training examples, got 57$"
    with pytest.raises(PipelineError, match=message):
        pretrain_all(job({"pretrain.batch_size": 57}))
    assert not (tmp_path / "models").exists()
