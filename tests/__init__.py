import pipeline  # noqa: F401  # first: it fixes the instruction set before torch is imported
