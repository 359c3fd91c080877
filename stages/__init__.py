from pipeline.core import portable as portable  # first: before torch, numpy and numba
