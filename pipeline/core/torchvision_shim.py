"""``from pipeline.core.torchvision_shim import torchvision``: works with a CPU-only torch, too.

PyPI's torchvision wheel is the CUDA build. With a CPU-only torch its compiled operators cannot be
loaded, and importing it fails with "operator torchvision::nms does not exist", since it registers
fake kernels for ``nms`` and ``qnms``. Defining the two as schemas without kernels (nothing here
calls them) makes its datasets, transforms and utils work. It is done only where the import fails:
defining an operator twice is an error.
"""

import torch

__all__ = ["torchvision"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# The definitions live as long as this object; None where torchvision imports without them.
definitions: torch.library.Library | None = None

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    definitions = torch.library.Library("torchvision", "DEF")
    for _operator in ("nms", "qnms"):
        definitions.define(_operator + _SCHEMA)
    import torchvision
