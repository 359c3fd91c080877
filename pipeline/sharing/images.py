"""An image file as the input of a model, and in words what had to be done to it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.errors import PipelineError
from pipeline.sharing.facts import Ground

_LEAST_CONTRAST = 0.2  # between ground and what is drawn, in [0, 1]
_LEAST_DRAWN, _MOST_DRAWN = 0.002, 0.5  # share of the pixels
_LEAST_SEPARABILITY = 0.77  # Otsu's; noisy photographs of digits have 0.79 or more, others less
_SPECK = 0.02  # share of the drawn pixels that may lie outside of the box around them, on each side


def read_image(
    path: Path, shape: tuple[int, ...], ground: Ground | None
) -> tuple[Tensor, list[str]]:
    """The image in file `path` as a model wants it that was trained on images of `shape`.

    Where training images have a `ground`, dark ink on light paper becomes light on dark if theirs
    is dark, and the reverse; an image of the right size keeps its pixels otherwise. Of another
    size, what is drawn is made ready as the digits of MNIST were (LeCun et al. 1998): freed from
    the paper's shades, cropped, scaled to the `extent` of the training images, and placed with its
    centre of mass in the middle. Without a ground the image is scaled, and no more.

    Returns
    -------
    pixels : (channels, height, width), in [0, 1].
    notes : what was done to get them, as sentences.

    Raises
    ------
    PipelineError
        If the file is no image, or shows nothing that could be told from its ground.
    """
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            image = _on_white(upright)
            if image.mode.startswith("I"):  # of 16 bits, which Pillow would cut off at 255
                image = Image.fromarray(np.asarray(image, dtype=np.float32) / 65535 * 255)
            kind = "L" if shape[0] == 1 else "RGB"
            values = np.asarray(image.convert(kind), dtype=np.float32) / 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or "not an image that Pillow can read"
        raise PipelineError(f"cannot read {path}: {reason}") from error
    pixels = torch.from_numpy(values.copy().reshape(*values.shape[:2], -1)).movedim(2, 0)
    notes = []
    if shape[0] == 1 and image.mode not in ("1", "L", "F"):
        notes.append("Colours became shades of grey.")
    if ground is None:
        return _scaled(pixels, shape, notes)
    return _on_ground(path, pixels, shape, ground, notes)


def _on_white(image: Image.Image) -> Image.Image:
    """`image` without transparency: what is transparent is paper."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _scaled(pixels: Tensor, shape: tuple[int, ...], notes: list[str]) -> tuple[Tensor, list[str]]:
    if pixels.shape == shape:
        return pixels, notes
    notes.append(f"{_size(pixels)} pixels were scaled to {shape[2]} × {shape[1]}.")
    return _resized(pixels, shape[1:]), notes


def _on_ground(
    path: Path, pixels: Tensor, shape: tuple[int, ...], ground: Ground, notes: list[str]
) -> tuple[Tensor, list[str]]:
    is_light = _border(pixels) > 0.5
    if is_light != (ground.value > 0.5):
        was, is_now = (
            ("dark on light", "light on dark") if is_light else ("light on dark", "dark on light")
        )
        notes.append(f"It was {was}; it is now {is_now}, as the training images are.")
        pixels = 1 - pixels
    if pixels.shape == shape:
        _contrast(path, (pixels - _border(pixels)).abs())
        return pixels, notes
    drawn = _drawn(path, pixels.mean(0), ground)
    rows, columns = (_box(drawn.sum(axis)) for axis in (1, 0))
    cropped = drawn[rows, columns]
    factor = ground.extent / max(cropped.shape)
    size = tuple(max(1, round(side * factor)) for side in cropped.shape)
    small = _resized(cropped.unsqueeze(0), size)
    notes.append(
        f"Of {_size(pixels)} pixels, what is drawn was cut out ({cropped.shape[1]} × "
        f"{cropped.shape[0]}), freed from the shades of its ground, scaled to "
        f"{size[1]} × {size[0]} and centred by mass in {shape[2]} × {shape[1]}, as the training "
        "images are."
    )
    placed = _centred(small, shape)
    return placed if ground.value < 0.5 else 1 - placed, notes


def _border(pixels: Tensor) -> float:
    """The median of the outermost pixels."""
    border = torch.cat([pixels[:, [0, -1]].flatten(), pixels[:, :, [0, -1]].flatten()])
    return float(border.median())


def _contrast(path: Path, difference: Tensor) -> float:
    """The largest difference from the ground; an error if it is too small to show anything."""
    largest = float(difference.amax())
    if largest < _LEAST_CONTRAST:
        raise PipelineError(
            f"{path}: shows nothing: its pixels differ by {100 * largest:.0f} % of the range from "
            f"black to white, at least {100 * _LEAST_CONTRAST:.0f} % are needed. Draw with a dark "
            "pen on light paper, or light on dark."
        )
    return largest


def _drawn(path: Path, pixels: Tensor, ground: Ground) -> Tensor:
    """How much of each pixel is drawn, in [0, 1], (height, width), whatever shades the paper has.

    The paper is what a wide median filter leaves; what differs from it by more than Otsu's
    threshold is drawn.
    """
    ink = pixels if ground.value < 0.5 else 1 - pixels  # light on dark
    ink = (ink - _paper(ink)).clamp(min=0)
    largest = _contrast(path, ink)
    threshold, separability = _otsu(ink / largest)
    threshold *= largest
    strong = ink[ink > threshold]
    share = strong.numel() / ink.numel()
    if separability < _LEAST_SEPARABILITY or not _LEAST_DRAWN <= share <= _MOST_DRAWN:
        raise PipelineError(
            f"{path}: shows no single figure on a plain ground: {100 * share:.1f} % of it look "
            f"drawn, {100 * _LEAST_DRAWN:g} to {100 * _MOST_DRAWN:g} % are needed, with a "
            f"separability of {separability:.2f} (Otsu's), {_LEAST_SEPARABILITY:g} is needed. Crop "
            "it to one figure and little else."
        )
    full = float(strong.median())
    low = threshold / 2  # soft edges, and no grain of the paper
    return ((ink - low) / (full - low)).clamp(0, 1)


def _paper(ink: Tensor) -> Tensor:
    """The shade of the paper under each pixel: the median over a window wider than any stroke."""
    height, width = ink.shape
    coarse = _resized(ink.unsqueeze(0), tuple(max(1, min(side, 64)) for side in (height, width)))
    reach = max(coarse.shape[1:]) // 4
    paper = ndimage.median_filter(coarse[0].numpy(), 2 * reach + 1, mode="nearest")
    return _resized(torch.from_numpy(paper).unsqueeze(0), (height, width))[0]


def _otsu(values: Tensor) -> tuple[float, float]:
    """Otsu's threshold (1979) of values in [0, 1], and its separability.

    The threshold maximises the variance between the two classes, below and above; the separability
    is that variance over all variance, from 0 to 1 for values that are 0 and 1 only.
    """
    counts = torch.histc(values.double(), 256, 0, 1)
    centres = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    weight = counts.cumsum(0) / counts.sum()
    moment = (counts * centres).cumsum(0) / counts.sum()
    between = (moment[-1] * weight - moment).square() / (weight * (1 - weight)).clamp(min=1e-12)
    variance = (counts * centres.square()).sum() / counts.sum() - moment[-1].square()
    return float(centres[between.argmax()]), float(between.max() / variance)


def _box(drawn: Tensor) -> slice:
    """From the first to the last row or column with more than a speck of what is drawn."""
    share = drawn.cumsum(0) / drawn.sum()
    inside = ((share > _SPECK / 2) & (share - drawn / drawn.sum() < 1 - _SPECK / 2)).nonzero()
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _centred(drawn: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`drawn` (1, height, width) on an empty image of `shape`, its centre of mass in the middle."""
    placed = torch.zeros(shape)
    starts = []
    for axis, whole in ((1, shape[1]), (2, shape[2])):
        mass = drawn.sum([other for other in range(3) if other != axis])
        places = torch.arange(len(mass), dtype=torch.float32)
        centre = float((mass * places).sum() / mass.sum())
        starts.append(min(max(round((whole - 1) / 2 - centre), 0), whole - len(mass)))
    top, left = starts
    placed[:, top : top + drawn.shape[1], left : left + drawn.shape[2]] = drawn
    return placed


def _resized(pixels: Tensor, size: tuple[int, ...]) -> Tensor:
    """(channels, height, width) → (channels, *size), averaging where it shrinks."""
    batch = pixels.unsqueeze(0)
    scaled = F.interpolate(batch, size, mode="bilinear", align_corners=False, antialias=True)
    return scaled[0].clamp(0, 1)


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[2]} × {pixels.shape[1]}"
