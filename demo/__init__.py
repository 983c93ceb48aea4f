"""Synthetic scenes, the small models trained on them, and the weights the `demo` profile ships."""
