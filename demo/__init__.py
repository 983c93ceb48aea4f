"""Synthetic scenes and expressions, the training of the demo models on them, and `make demo`."""
