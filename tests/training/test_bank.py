import itertools
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.params import Params, load_params
from pipeline.core.store import CellStore
from pipeline.training.bank import most_cells, pack, train_bank
from pipeline.training.objectives import Objective
from pipeline.training.randomness import batch_order, generator
from pipeline.training.selection import selected
from tests.conftest import REPOSITORY
from tests.models.textbook import Textbook, same_weights
from tests.training import textbook
from tests.training.grids import (
    ARCHITECTURES,
    CPU,
    EXPERIMENTS,
    NO_CHECKPOINT,
    SMOKE,
    double,
    in_order,
    initial,
    settings,
    train,
    write_data,
)

PAPER = load_params(REPOSITORY / "presets/paper.yaml")
SIZES = {"epochs": 2, "batch_size": 12, "eval_freq": 3, "lr": 0.01, "concept_reg": 0.5}


def grid(name: str, lambdas: tuple[float, ...], seeds: tuple[int, ...]) -> list[Cell]:
    return [Cell(name, robust_reg, seed) for seed in seeds for robust_reg in lambdas]


def short(name: str, robustness: dict[str, Any] | None = None, **changes) -> Params:
    changes = {f"experiments.{name}.{key}": value for key, value in {**SIZES, **changes}.items()}
    if robustness:
        changes |= {f"robustness.{key}": value for key, value in robustness.items()}
    return settings(changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """``data[name]``: a small data set for every experiment."""
    folders = {name: tmp_path_factory.mktemp(name) for name in EXPERIMENTS}
    # In batches of 12: 4 steps an epoch, the incomplete fifth batch is dropped.
    return {
        name: load_dataset(write_data(name, folder, train=56, valid=40))
        for name, folder in folders.items()
    }


# --- against plain training of one model -------------------------------------------------------


class Best(NamedTuple):
    accuracy: float
    step: int
    weights: list[Tensor]


def train_by_the_textbook(
    cell: Cell, data: Dataset, params: Params
) -> tuple[Best, list[dict[str, float]]]:
    """One model, one loop: loss.backward(), torch's Adam, best validation accuracy kept."""
    e, robustness = params.experiments[cell.experiment], params.robustness
    senn = initial(cell.experiment, data, params)(cell.seed)
    shared = getattr(e.conceptizer, "decoder_shared", False)
    architecture = ARCHITECTURES[cell.experiment].with_(decoder_shared=shared)
    network = same_weights(senn, Textbook(architecture).to(data.train.x))
    adam = torch.optim.Adam(network.parameters(), lr=e.lr)
    best, curve, since, step = Best(-1, 0, []), [], [], 0
    last = e.epochs * (len(data.train.y) // e.batch_size)
    for epoch in range(1, e.epochs + 1):
        network.train()
        noise = generator(cell.seed, "noise", epoch, CPU)
        order = batch_order(cell.seed, epoch, len(data.train.y), e.batch_size)
        drawn_masks, drawn_latent = senn.draw_noise(order.numel(), noise)
        if robustness.probes != "exact":
            signs = torch.empty(order.numel(), robustness.probes, e.num_classes)
            signs.bernoulli_(0.5, generator=noise).mul_(2).sub_(1)
        for place, index in enumerate(order):
            x, y = data.train.x[index], data.train.y[index]
            now = slice(place * len(index), (place + 1) * len(index))
            masks = None if drawn_masks is None else tuple(mask[now] for mask in drawn_masks)
            latent = None if drawn_latent is None else drawn_latent[now]
            probes = None if robustness.probes == "exact" else signs[now].movedim(1, 0)
            if not network.training:
                masks = latent = None

            output = network(x, masks, latent)
            classification = F.cross_entropy(output.logits, y)
            robust = textbook.robustness_loss(
                network, x, robustness.variant, robustness.reduction, masks, probes
            )
            concept = F.mse_loss(output.reconstruction, x)
            if e.beta is None:
                concept = concept + e.sparsity_reg * output.concepts.abs().sum()
            else:
                kl = 1 + output.logvar - output.mean**2 - output.logvar.exp()
                concept = concept - e.beta / 2 * kl.sum(1).mean()
            loss = classification + cell.robust_reg * robust + e.concept_reg * concept
            adam.zero_grad()
            loss.backward()
            adam.step()

            since.append([loss.item(), classification.item(), robust.item(), concept.item()])
            step += 1
            if step % e.eval_freq == 0 or step == last:
                network.eval()  # which the review's trainer leaves so
                with torch.no_grad():
                    logits = network(data.valid.x).logits
                accuracy = (logits.argmax(1) == data.valid.y).double().mean().item()
                means = torch.tensor(since, dtype=torch.float64).mean(0).tolist()
                names = ("total", "classification", "robustness", "concept")
                curve.append(
                    {"step": step, "epoch": epoch}
                    | {f"train_{name}": mean for name, mean in zip(names, means, strict=True)}
                    | {"valid_classification": F.cross_entropy(logits, data.valid.y).item()}
                    | {"valid_accuracy": accuracy}
                )
                since = []
                if accuracy > best.accuracy:
                    best = Best(accuracy, step, [p.detach().clone() for p in network.parameters()])
                network.train(e.training_mode_until == "epoch_end")
    return best, curve


REVIEW_A_PROBE = {"variant": "review2020", "probes": 1, "reduction": "batch"}
PAPER_EXACT = {"variant": "paper2018", "probes": "exact", "reduction": "example"}
AUTHORS_2_PROBES = {"variant": "authors2018", "probes": 2, "reduction": "batch"}


@pytest.mark.parametrize(
    ("name", "robustness", "seeds"),
    [
        ("compas_senn", REVIEW_A_PROBE, (3, 7)),
        ("compas_senn", PAPER_EXACT, (3, 7)),
        ("compas_senn", AUTHORS_2_PROBES, (3, 7)),
        ("mnist_senn", REVIEW_A_PROBE, (3, 7)),
        ("mnist_senn", PAPER_EXACT, (3,)),
        ("mnist_disenn", REVIEW_A_PROBE, (3,)),
        ("mnist_disenn", AUTHORS_2_PROBES, (3, 7)),
    ],
)
def test_a_bank_trains_as_the_textbook_does(data, name, robustness, seeds, in_double_precision):
    dataset, params = double(data[name]), short(name, robustness)
    cells = grid(name, (2**-7, 0.5), seeds)
    trained = train(cells, dataset, params)
    assert list(trained) == cells
    for cell in cells:
        best, curve = train_by_the_textbook(cell, dataset, params)
        result = trained[cell]
        senn = initial(name, dataset, params)(cell.seed)
        for ours, theirs in zip(in_order(result.weights, senn), best.weights, strict=True):
            assert_close(ours.reshape(theirs.shape), theirs, rtol=1e-6, atol=1e-8)
        assert (result.step, result.valid_accuracy) == (best.step, pytest.approx(best.accuracy))
        assert [row.keys() for row in result.curve] == [row.keys() for row in curve]
        for row, expected in zip(result.curve, curve, strict=True):
            assert row == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_in_training_mode_until_the_first_validation(data, name, in_double_precision):
    # 4 steps an epoch, validations after 3, 6, 9 and 12: noise in steps 1 to 3, 5, 6 and 9.
    changes = {"epochs": 3, "dropout": 0.5, "training_mode_until": "first_validation"}
    dataset, cell = double(data[name]), Cell(name, 0.5, 3)
    params = short(name, **changes)
    result = train([cell], dataset, params)[cell]
    _, curve = train_by_the_textbook(cell, dataset, params)
    for row, expected in zip(result.curve, curve, strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-7)

    changes["training_mode_until"] = "epoch_end"
    first, *later = train([cell], dataset, short(name, **changes))[cell].curve
    assert first == result.curve[0], "until then it is the same training"
    for row, other in zip(later, result.curve[1:], strict=True):
        assert row["train_total"] != pytest.approx(other["train_total"], rel=1e-3)


def test_hundreds_of_steps_as_the_review_ran(tmp_path, in_double_precision):
    """Its settings, loss and quirks in a small model, and its 270 steps an epoch in small batches.

    Compared with its published log on all of MNIST, it is a benchmark (`benchmarks.as_run`).
    """
    name = "mnist_senn"
    published = PAPER.experiment(name)
    assert published.training_mode_until == "first_validation"
    assert published.conceptizer.decoder_shared
    small = SMOKE.experiment(name).conceptizer.model_dump() | {"decoder_shared": True}
    keys = ("lr", "eval_freq", "training_mode_until", "dropout", "concept_reg", "sparsity_reg")
    changes = {key: getattr(published, key) for key in keys}
    changes |= {"conceptizer": small, "batch_size": 4, "epochs": 2}
    params = short(name, PAPER.robustness.model_dump(), **changes)
    dataset = double(load_dataset(write_data(name, tmp_path, train=4 * 270 + 3)))
    cell = Cell(name, 1e-4, 29)
    result = train([cell], dataset, params)[cell]
    best, curve = train_by_the_textbook(cell, dataset, params)
    assert [row["step"] for row in result.curve] == [100, 200, 300, 400, 500, 540]
    assert (result.step, result.valid_accuracy) == (best.step, pytest.approx(best.accuracy))
    for row, expected in zip(result.curve, curve, strict=True):
        assert row == pytest.approx(expected, rel=1e-6)

    changes |= {"training_mode_until": "epoch_end", "epochs": 1}
    until_the_end = short(name, PAPER.robustness.model_dump(), **changes)
    first, second, *_ = train([cell], dataset, until_the_end)[cell].curve
    assert first == result.curve[0]
    assert second["train_classification"] > 1.2 * result.curve[1]["train_classification"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_same_in_single_precision(data, name):
    params, cell = short(name), Cell(name, 0.5, 3)
    result = train([cell], data[name], params)[cell]
    best, curve = train_by_the_textbook(cell, data[name], params)
    senn = initial(name, data[name], params)(cell.seed)
    assert result.step == best.step
    for ours, theirs in zip(in_order(result.weights, senn), best.weights, strict=True):
        # Adam moves a weight by up to lr, .01, a step, whatever its gradient: a hundredth of that.
        assert_close(ours.reshape(theirs.shape), theirs, rtol=1e-4, atol=1e-4)
    for row, expected in zip(result.curve, curve, strict=True):
        assert row == pytest.approx(expected, rel=1e-3)


def test_cells_of_a_grid_are_different_models(data):
    cells = grid("compas_senn", lambdas=(0.0, 0.5), seeds=(3, 7))
    trained = train(cells, data["compas_senn"], short("compas_senn"))
    for one, other in itertools.combinations(cells, 2):
        a, b = trained[one].weights, trained[other].weights
        assert not any(torch.equal(a[key], b[key]) for key in a)


# --- selection and curves ----------------------------------------------------------------------


def test_keeps_the_first_of_the_best(data):
    # With 40 validation examples, accuracies tie.
    name = "compas_senn"
    params = short(name, epochs=12, eval_freq=1)
    trained = train(grid(name, (0.0, 0.5, 2.0), (3, 7)), data[name], params)
    ties = 0
    for result in trained.values():
        accuracies = [row["valid_accuracy"] for row in result.curve]
        first = accuracies.index(max(accuracies))
        assert result.valid_accuracy == accuracies[first]
        assert result.step == result.curve[first]["step"]
        ties += accuracies.count(max(accuracies)) > 1
    assert ties > 0

    # The weights are those of that step: training to it and no further ends with the same.
    cell = max(trained, key=lambda cell: trained[cell].step % (12 * 4))
    again = short(name, epochs=12, eval_freq=trained[cell].step)
    assert trained[cell].step < 12 * 4
    assert_same_weights(train([cell], data[name], again)[cell], trained[cell])


LARGEST = {
    "best_validation_accuracy": lambda row: row["valid_accuracy"],
    "best_validation_loss": lambda row: -row["valid_classification"],
    "last": lambda row: row["step"],
}


@pytest.mark.parametrize(
    ("name", "robustness"),
    [("compas_senn", {"probes": 1}), ("compas_senn", AUTHORS_2_PROBES), ("mnist_senn", {})],
    ids=["kernel", "table", "images"],
)
def test_keeps_what_the_rule_selects(data, name, robustness):
    cells, steps = grid(name, (0.0, 2.0), (3, 7)), {}
    for rule, largest in LARGEST.items():
        params = short(name, robustness, epochs=6, eval_freq=1, lr=0.05, select=rule)
        trained = train(cells, data[name], params)
        for result in trained.values():
            row = max(result.curve, key=largest)  # the first of equals
            assert (result.step, result.valid_accuracy) == (row["step"], row["valid_accuracy"])
            assert selected(pd.DataFrame(result.curve), rule)["step"] == row["step"]
            model = initial(name, data[name], params)(result.cell.seed)
            model.load_state_dict(result.weights)
            logits = model(data[name].valid.x).logits
            cross_entropy = F.cross_entropy(logits, data[name].valid.y).item()
            assert cross_entropy == pytest.approx(row["valid_classification"], rel=1e-4)
        steps[rule] = [result.step for result in trained.values()]
    assert steps["last"] == [24] * 4
    assert len(set(map(tuple, steps.values()))) == 3, "the rules differ"


@pytest.mark.parametrize("rule", LARGEST)
def test_an_interrupted_training_selects_the_same(data, tmp_path, rule):
    name, cells = "compas_senn", grid("compas_senn", (0.0, 2.0), (3, 7))
    params = short(name, epochs=6, eval_freq=1, lr=0.05, select=rule)
    objective = Objective(params.experiment(name), params.robustness, params.vae)
    start = initial(name, data[name], params)
    checkpoint = CellStore(tmp_path, 10**6).checkpoint("0" * 64)

    def stop(epoch: int, _: float) -> None:
        if epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_bank(cells, objective, start, data[name], stop, checkpoint)
    epochs = []
    resumed = train_bank(
        cells, objective, start, data[name], lambda epoch, _: epochs.append(epoch), checkpoint
    )
    assert epochs == [5, 6]
    for one, other in zip(resumed, train(cells, data[name], params).values(), strict=True):
        assert (one.step, one.curve) == (other.step, other.curve)
        assert one.valid_accuracy == other.valid_accuracy
        assert_same_weights(one, other)


def assert_same_weights(one, other) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), name


@pytest.mark.parametrize(("eval_freq", "steps"), [(4, [4, 8, 12]), (5, [5, 10, 12]), (50, [12])])
def test_validates_every_few_steps_and_at_the_end(data, eval_freq, steps):
    name, cell = "mnist_disenn", Cell("mnist_disenn", 0.5, 3)
    curve = train([cell], data[name], short(name, epochs=3, eval_freq=eval_freq))[cell].curve
    assert [row["step"] for row in curve] == steps
    assert [row["epoch"] for row in curve] == [-(-step // 4) for step in steps]


def test_validates_on_all_of_a_large_split(tmp_path):
    # More than fit into one batch of a validation, and no multiple of it.
    dataset = load_dataset(write_data("compas_senn", tmp_path, valid=1_203))
    params, cell = short("compas_senn", epochs=1, eval_freq=100), Cell("compas_senn", 0.5, 3)
    result = train([cell], dataset, params)[cell]
    senn = initial("compas_senn", dataset, params)(3)
    senn.load_state_dict(result.weights)
    logits = senn(dataset.valid.x).logits
    right = (logits.argmax(1) == dataset.valid.y).sum().item()
    assert result.valid_accuracy == pytest.approx(right / 1_203)
    cross_entropy = F.cross_entropy(logits, dataset.valid.y).item()
    assert result.curve[-1]["valid_classification"] == pytest.approx(cross_entropy, rel=1e-5)


def test_reports_epochs_and_the_best_accuracy_so_far(data):
    name, reports = "compas_senn", []
    params = short(name, epochs=3, eval_freq=4)
    objective = Objective(params.experiments[name], params.robustness, params.vae)
    cells = [Cell(name, 0.5, 3), Cell(name, 0.5, 7)]
    start = initial(name, data[name], params)
    trained = train_bank(
        cells, objective, start, data[name], lambda *state: reports.append(state), NO_CHECKPOINT
    )
    accuracies = [[row["valid_accuracy"] for row in result.curve] for result in trained]
    means = [sum(max(of_cell[:n]) for of_cell in accuracies) / 2 for n in (1, 2, 3)]
    assert reports == [(n, pytest.approx(mean)) for n, mean in zip((1, 2, 3), means, strict=True)]


# --- packing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 6, 15, 45])
def test_banks_are_even_and_as_many_for_every_worker(count):
    name = "mnist_senn"
    cells = grid(name, lambdas=tuple(range(5)), seeds=tuple(range(9)))[:count]
    experiment = short(name).experiment(name)
    most = most_cells(experiment, SMOKE.robustness, CPU)
    for workers in (1, 2, 3, 64):
        banks = pack(cells, experiment, SMOKE.robustness, CPU, workers)
        assert [cell for packed in banks for cell in packed] == cells
        sizes = [len(packed) for packed in banks]
        assert min(sizes) > 0 and max(sizes) <= min(min(sizes) + 1, most)
        assert len(banks) % workers == 0 or len(banks) == count


def test_a_gpu_has_wider_banks_of_smaller_models():
    gpu, smoke = torch.device("cuda"), short("compas_senn")
    widths = {
        name: most_cells(smoke.experiment(name), SMOKE.robustness, gpu) for name in EXPERIMENTS
    }
    assert widths.pop("compas_senn") == 256 and set(widths.values()) == {16}
    cells = grid("mnist_senn", lambdas=tuple(range(5)), seeds=tuple(range(7)))
    banks = pack(cells, smoke.experiment("mnist_senn"), SMOKE.robustness, gpu, 1)
    assert [len(packed) for packed in banks] == [12, 11, 12]


def test_banks_of_tables_are_large():
    cells = grid("compas_senn", lambdas=tuple(range(5)), seeds=tuple(range(200)))
    banks = pack(cells, short("compas_senn").experiment("compas_senn"), SMOKE.robustness, CPU, 2)
    assert [len(packed) for packed in banks] == [250] * 4


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_its_cell(data):
    name = "compas_senn"
    cells = [Cell(name, 0.01, 3), Cell(name, 3e38, 7), Cell(name, 0.01, 7)]
    message = (
        r"^compas_senn λ=3e\+38 seed=7: the training loss is not finite by step 3 \(epoch 1\)\. "
        r"Lower experiments\.compas_senn\.lr, or λ"
    )
    with pytest.raises(PipelineError, match=message):
        train(cells, data[name], short(name))


def test_of_a_table_of_a_collection_the_entrys_key_is_named(data):
    name, cell = "compas_senn", Cell("compas_senn", 3e38, 7)

    def of_entry(params: Params) -> Params:
        own = params.experiment(name).model_copy(update={"entry": "tables"})
        return params.model_copy(update={"experiments": {name: own}})

    with pytest.raises(PipelineError, match=r"Lower experiments\.tables\.lr, or λ, in params"):
        train([cell], data[name], of_entry(short(name)))
    with pytest.raises(PipelineError, match=r"^params\.yaml: experiments\.tables\.batch_size: "):
        train([cell], data[name], of_entry(short(name, batch_size=57)))


def test_a_loss_is_checked_at_every_step_not_only_at_validations(tmp_path):
    # A single bad example: the loss is NaN at the one step that sees it, and so are the weights.
    name = "mnist_senn"
    dataset = load_dataset(write_data(name, tmp_path, train=56))
    dataset.train.x[batch_order(3, 1, 56, 12)[1, 0]] = float("inf")
    with pytest.raises(PipelineError, match=r"mnist_senn λ=0.5 seed=3: .* by step 8 \(epoch 2\)"):
        train([Cell(name, 0.5, 3)], dataset, short(name, eval_freq=50))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_the_last_step_makes_of_weights_is_checked(data, name):
    # One step, whose loss is that of the initial weights and finite.
    params = short(name, epochs=1, batch_size=56, lr=1e38)
    message = rf"^{name} λ=0\.5 seed=3: the (weights are|validation loss is) not finite by step 1"
    with pytest.raises(PipelineError, match=message):
        train([Cell(name, 0.5, 3)], data[name], params)


def test_a_batch_larger_than_the_data(data):
    message = (
        r"^params\.yaml: experiments\.mnist_senn\.batch_size: "
        r"must be ≤ the 56 training examples, got 57$"
    )
    with pytest.raises(PipelineError, match=message):
        train([Cell("mnist_senn", 0.5, 3)], data["mnist_senn"], short("mnist_senn", batch_size=57))
    whole = short("mnist_senn", batch_size=56, epochs=2, eval_freq=1)
    curve = train([Cell("mnist_senn", 0.5, 3)], data["mnist_senn"], whole)
    assert [row["step"] for result in curve.values() for row in result.curve] == [1, 2]
