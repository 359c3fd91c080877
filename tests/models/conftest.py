"""One thread, as in the workers that train."""

import torch

torch.set_num_threads(1)
