"""torchvision, importable beside a CPU-only torch too: ``from pipeline.core.torchvision_shim import
torchvision``.

PyPI's torchvision wheel is the CUDA build. Where torch is a CPU-only build its compiled operators
cannot be loaded; torchvision tolerates that, except that on import it registers fake kernels for
``nms`` and ``qnms`` and fails with "operator torchvision::nms does not exist". Defining the two
(schemas without kernels: we never call them) lets its datasets, transforms and utils work. Where
torchvision imports by itself, nothing is defined: defining its operators twice would be an error.
"""

import torch

__all__ = ["torchvision"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# The definitions live only as long as this object; None where torchvision needed no help.
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
