"""From an image file of any kind to upright RGB pixels."""
