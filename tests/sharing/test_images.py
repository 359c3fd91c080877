import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from pipeline.core.errors import PipelineError
from pipeline.sharing.facts import Ground
from pipeline.sharing.images import _otsu, read_image

SHAPE = (1, 28, 28)
BLACK, WHITE = (Ground(value=value, extent=20, drawn=(0, 1)) for value in (0, 1))


def drawn(side: int, ink: int, paper: int) -> np.ndarray:
    """A 7, off centre."""
    image = Image.new("L", (side, side), paper)
    corners = [(0.2 * side, 0.3 * side), (0.55 * side, 0.28 * side), (0.35 * side, 0.8 * side)]
    ImageDraw.Draw(image).line(corners, fill=ink, width=max(2, side // 18), joint="curve")
    return np.asarray(image)


def saved(path, pixels: np.ndarray):
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def shaded(pixels: np.ndarray) -> np.ndarray:
    """As a camera sees it: lit from the left, with grain, in colour."""
    grain = np.random.default_rng(0).normal(0, 5, pixels.shape)
    lit = pixels * np.linspace(1, 0.55, pixels.shape[1]) + grain
    return np.stack([lit * 1.02, lit * 0.98, lit * 0.9], -1).clip(0, 255)


def likeness(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


def test_an_image_of_the_right_kind_keeps_its_pixels(tmp_path):
    pixels = drawn(28, ink=255, paper=0)
    read, notes = read_image(saved(tmp_path / "a.png", pixels), SHAPE, BLACK)
    assert torch.equal(read[0], torch.from_numpy(pixels / 255).float())
    assert notes == []


@pytest.mark.parametrize(("ground", "ink", "paper"), [(BLACK, 0, 255), (WHITE, 255, 0)])
def test_polarity_is_the_training_images(tmp_path, ground, ink, paper):
    pixels = drawn(28, ink, paper)
    read, (note,) = read_image(saved(tmp_path / "a.png", pixels), SHAPE, ground)
    torch.testing.assert_close(read[0], torch.from_numpy(1 - pixels / 255).float())
    assert "as the training images are" in note


@pytest.mark.parametrize("ground", [BLACK, WHITE])
def test_a_large_image_becomes_one_of_mnists(tmp_path, ground):
    read, notes = read_image(saved(tmp_path / "a.png", drawn(300, 0, 255)), SHAPE, ground)
    ink = (read - ground.value).abs()[0]
    rows, columns = (ink.sum(axis) for axis in (1, 0))
    sides = [int(sum.nonzero()[-1] - sum.nonzero()[0]) + 1 for sum in (rows, columns)]
    assert max(sides) == 20
    places = torch.arange(28.0)
    for mass in (rows, columns):
        assert float((mass * places).sum() / mass.sum()) == pytest.approx(13.5, abs=1)
    assert any("scaled to" in note for note in notes)


def test_neither_shades_nor_polarity_matter(tmp_path):
    plain, _ = read_image(saved(tmp_path / "a.png", drawn(300, 20, 220)), SHAPE, BLACK)
    photo, notes = read_image(saved(tmp_path / "b.png", shaded(drawn(300, 20, 220))), SHAPE, BLACK)
    light, _ = read_image(saved(tmp_path / "c.png", drawn(300, 235, 35)), SHAPE, BLACK)
    assert likeness(plain, photo) > 0.95
    assert likeness(plain, light) > 0.999
    assert notes[0] == "Colours became shades of grey."


def test_what_is_transparent_is_paper(tmp_path):
    layers = np.zeros((300, 300, 4), np.uint8)
    layers[..., 3] = drawn(300, 255, 0)
    read, _ = read_image(saved(tmp_path / "a.png", layers), SHAPE, BLACK)
    opaque, _ = read_image(saved(tmp_path / "b.png", drawn(300, 0, 255)), SHAPE, BLACK)
    assert likeness(read, opaque) > 0.999


def test_images_of_16_bits(tmp_path):
    pixels = drawn(28, ink=255, paper=0)
    deep = Image.fromarray(pixels.astype(np.uint16) * 257)
    deep.save(tmp_path / "a.png")
    read, notes = read_image(tmp_path / "a.png", SHAPE, BLACK)
    assert (read[0] - torch.from_numpy(pixels / 255)).abs().max() < 0.01
    assert notes == []


def test_without_a_ground_an_image_is_scaled_only(tmp_path):
    pixels = np.zeros((40, 60, 3))
    pixels[..., 0] = 255
    read, notes = read_image(saved(tmp_path / "a.png", pixels), (3, 20, 30), None)
    assert read.shape == (3, 20, 30)
    assert read.mean((1, 2)).tolist() == [1, 0, 0]
    assert notes == ["60 × 40 pixels were scaled to 30 × 20."]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((28, 28), 200), "shows nothing: its pixels differ by 0 %"),
        (np.full((100, 100), 200), "shows nothing"),
        (load_sample_image("china.jpg"), "shows no single figure on a plain ground"),
        (np.pad(np.zeros((2, 2)), 149, constant_values=255), "0.0 % of it look drawn"),
    ],
)
def test_what_shows_no_figure_is_refused(tmp_path, pixels, message):
    with pytest.raises(PipelineError, match=f"a.png: .*{message}"):
        read_image(saved(tmp_path / "a.png", pixels), SHAPE, BLACK)


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("an image")
    with pytest.raises(PipelineError, match=r"cannot read .*a\.png: not an image"):
        read_image(tmp_path / "a.png", SHAPE, BLACK)
    with pytest.raises(PipelineError, match=r"cannot read .*b\.png: No such file"):
        read_image(tmp_path / "b.png", SHAPE, BLACK)


def test_otsus_threshold_maximises_the_variance_between_classes():
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(0.2, 0.05, 900), generator.normal(0.7, 0.1, 100)])
    values = values.clip(0, 1)

    def between(threshold: float) -> float:
        low, high = values[values <= threshold], values[values > threshold]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2

    best = max(between(threshold) for threshold in np.linspace(0.1, 0.7, 300))
    threshold, separability = _otsu(torch.from_numpy(values).float())
    assert between(threshold) == pytest.approx(best, rel=0.01)
    assert separability == pytest.approx(best / len(values) ** 2 / values.var(), rel=0.01)
