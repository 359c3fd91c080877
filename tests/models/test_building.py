import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.params import Experiment, load_params
from pipeline.models.building import Inputs, build_senn, build_vae
from tests.conftest import REPOSITORY
from tests.models.textbook import ARCHITECTURES, Architecture, Textbook

TABLE = Inputs((11,), 0.0, 1.0)
DIGITS = Inputs((1, 28, 28), 0.1307, 0.3081)
PAPER = load_params(REPOSITORY / "presets/paper.yaml")


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def paper_senn(name: str, seed: int = 0):
    inputs = TABLE if name == "compas_senn" else DIGITS
    return build_senn(name, PAPER.experiments[name], PAPER.vae, inputs, seed)


def changed(experiment: Experiment, **changes) -> Experiment:
    return Experiment.model_validate({**experiment.model_dump(), **changes})


# --- sizes of the published models, counted by hand -------------------------------------------

# 11-5-5-22
MLP = (11 * 5 + 5) + (5 * 5 + 5) + (5 * 22 + 22)
# 5 × 5 convolutions 1→10 and 10→20; 28 → 24 → 12 → 8 → 4 pixels wide, so 20 · 4 · 4 = 320; 320→50
CONV = (25 * 10 + 10) + (10 * 25 * 20 + 20) + (320 * 50 + 50)
# convolutions 1→10 and 10→5, a linear map 16→1 for each of 5 channels
ENCODER = (25 * 10 + 10) + (10 * 25 * 5 + 5) + 5 * (16 + 1)
# a linear map 1→16, transposed convolutions 5→16, 16→8 and (2 × 2) 8→1
DECODER = (16 + 16) + (5 * 25 * 16 + 16) + (16 * 25 * 8 + 8) + (8 * 4 + 1)
# 784-512-256-100-(5, 5), and 5-100-256-512-784
VAE_ENCODER = (784 * 512 + 512) + (512 * 256 + 256) + (256 * 100 + 100) + 2 * (100 * 5 + 5)
VAE_DECODER = (5 * 100 + 100) + (100 * 256 + 256) + (256 * 512 + 512) + (512 * 784 + 784)


@pytest.mark.parametrize(
    ("name", "conceptizer", "parameterizer"),
    [
        ("compas_senn", 0, MLP),
        ("mnist_senn", ENCODER + DECODER, CONV),
        ("mnist_disenn", VAE_ENCODER + VAE_DECODER, CONV),
    ],
)
def test_sizes_of_the_published_models(name, conceptizer, parameterizer):
    senn = paper_senn(name)
    assert parameters(senn.conceptizer) == conceptizer
    assert parameters(senn.parameterizer) == parameterizer
    assert parameters(senn) == conceptizer + parameterizer


def test_the_decoders_map_is_shared_or_every_concepts_own():
    published = PAPER.experiments["mnist_senn"]
    own = changed(
        published, conceptizer=published.conceptizer.model_dump() | {"decoder_shared": False}
    )
    default = changed(published, conceptizer=own.conceptizer.model_dump(exclude={"decoder_shared"}))
    sizes = [
        parameters(build_senn("mnist_senn", experiment, None, DIGITS, 0))
        for experiment in (published, own, default)
    ]
    assert sizes == [28_219, 28_347, 28_347]  # the review's checkpoints have 28,219


@pytest.mark.parametrize(
    ("name", "classes", "concepts"),
    [("compas_senn", 2, 11), ("mnist_senn", 10, 5), ("mnist_disenn", 10, 5)],
)
def test_shapes_of_the_published_models(name, classes, concepts):
    shape = (11,) if name == "compas_senn" else (1, 28, 28)
    output = paper_senn(name)(torch.randn(3, *shape))
    assert output.logits.shape == (3, classes)
    assert output.concepts.shape == (3, concepts)
    assert output.relevances.shape == (3, concepts, classes)
    assert output.reconstruction.shape == (3, *shape)


def test_published_dropout():
    masks = paper_senn("mnist_senn").draw_noise(2, torch.Generator()).masks
    assert [tuple(mask.shape) for mask in masks] == [(2, 20, 1, 1), (2, 50)]
    assert {mask.max().item() for mask in masks} == {2.0}  # 1 / (1 - .5)
    assert paper_senn("compas_senn").draw_noise(2, torch.Generator()).masks is None


def test_the_pretrained_vae_is_disenns():
    vae = build_vae(PAPER.vae, DIGITS, seed=5)
    ours = {name: value.shape for name, value in vae.state_dict().items()}
    disenn = paper_senn("mnist_disenn").conceptizer.state_dict()
    assert ours == {name: value.shape for name, value in disenn.items()}
    assert parameters(vae) == VAE_ENCODER + VAE_DECODER


def test_vae_target_is_passed_on():
    unit = PAPER.vae.model_copy(update={"target": "unit"})
    low, high = (0 - 0.1307) / 0.3081, (1 - 0.1307) / 0.3081
    pixels = build_vae(unit, DIGITS, 0).decode(1e5 * torch.randn(20, 5))
    assert pixels.min().item() == pytest.approx(low, abs=1e-4)
    assert pixels.max().item() == pytest.approx(high, abs=1e-4)


# --- initialisation ----------------------------------------------------------------------------


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach() for p in module.parameters()]


@pytest.mark.parametrize("name", ["compas_senn", "mnist_senn", "mnist_disenn"])
def test_initial_weights_follow_from_the_seed_alone(name):
    torch.manual_seed(0)
    first = weights(paper_senn(name, seed=7))
    torch.manual_seed(1)
    torch.randn(10)
    assert all(map(torch.equal, first, weights(paper_senn(name, seed=7))))
    assert not any(map(torch.equal, first, weights(paper_senn(name, seed=8))))


@pytest.mark.parametrize(
    "build", [lambda: paper_senn("mnist_senn", 7), lambda: build_vae(PAPER.vae, DIGITS, 7)]
)
def test_building_leaves_the_global_generator_alone(build):
    torch.manual_seed(0)
    expected = torch.randn(5)
    torch.manual_seed(0)
    build()
    assert torch.equal(torch.randn(5), expected)


def test_a_failed_build_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with pytest.raises(PipelineError):
        build_senn("mnist_senn", PAPER.experiments["mnist_senn"], PAPER.vae, TABLE, 7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_initial_distribution_is_torchs(architecture: Architecture):
    # torch initialises every such layer uniformly in ± 1 / sqrt(inputs of a unit).
    bounds = [
        torch.nn.init._calculate_fan_in_and_fan_out(layer.weight)[0] ** -0.5
        for layer in Textbook(architecture).modules()
        if hasattr(layer, "weight")
        for _ in (layer.weight, layer.bias)
    ]
    for bound, parameter in zip(bounds, weights(architecture.senn()), strict=True):
        uniform = parameter / bound
        assert uniform.abs().max() <= 1
        # Of u uniform in ±1: mean u² = 1/3, with a standard error of sqrt(4/45 / n); mean u = 0.
        n = parameter.numel()
        assert uniform.square().mean().item() == pytest.approx(1 / 3, abs=5 * (4 / 45 / n) ** 0.5)
        assert uniform.mean().item() == pytest.approx(0, abs=5 * (1 / 3 / n) ** 0.5)


# --- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "inputs", "key", "what"),
    [
        ("compas_senn", {"num_concepts": 10}, TABLE, "conceptizer", r"\(11,\), num_concepts is 10"),
        ("compas_senn", {}, DIGITS, "conceptizer", r"\(1, 28, 28\), num_concepts is 11"),
        ("mnist_senn", {}, TABLE, "conceptizer", r"got \(11,\)"),
        ("mnist_senn", {}, Inputs((1, 8, 8), 0.0, 1.0), "conceptizer", "too small"),
        ("mnist_senn", {}, Inputs((1, 30, 30), 0.0, 1.0), "conceptizer", r"\(1, 28, 28\)"),
        ("mnist_disenn", {}, TABLE, "parameterizer", r"got \(11,\)"),
    ],
)
def test_says_what_does_not_fit(name, changes, inputs, key, what):
    experiment = changed(PAPER.experiments[name], **changes)
    message = rf"^params\.yaml: experiments\.{name}\.{key}: .*{what}"
    with pytest.raises(PipelineError, match=message):
        build_senn(name, experiment, PAPER.vae, inputs, 0)


def test_of_a_table_of_a_collection_the_entrys_key_is_named():
    experiment = changed(PAPER.experiments["compas_senn"], entry="tables")
    with pytest.raises(PipelineError, match=r"^params\.yaml: experiments\.tables\.conceptizer: "):
        build_senn("tables_compas", experiment, None, DIGITS, 0)


def test_layer_sizes_come_from_params():
    experiment = changed(
        PAPER.experiments["mnist_senn"],
        conceptizer={"name": "conv", "channels": [2], "kernel_size": 6, "decoder_channels": [3, 2]},
        parameterizer={"name": "conv", "channels": [4], "kernel_size": 3, "hidden_sizes": [9, 8]},
        num_concepts=6,
        num_classes=3,
        dropout=0.0,
    )
    senn = build_senn("mnist_senn", experiment, PAPER.vae, DIGITS, 0)
    assert senn(torch.randn(4, 1, 28, 28)).relevances.shape == (4, 6, 3)
    # 28 → 26 → 13 pixels wide
    hidden = (4 * 169 * 9 + 9) + (9 * 8 + 8) + (8 * 18 + 18)
    assert parameters(senn.parameterizer) == (9 * 4 + 4) + hidden
    # 28 → 23 → 11 → 6 → 3 pixels wide
    encoder = (36 * 2 + 2) + (2 * 36 * 6 + 6) + 6 * (9 + 1)
    decoder = 6 * (9 + 9) + (6 * 36 * 3 + 3) + (3 * 36 * 2 + 2) + (2 * 4 + 1)
    assert parameters(senn.conceptizer) == encoder + decoder
