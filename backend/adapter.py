"""The old place of `backend.interactive.label_studio_ml`, which `label-studio-ml` projects of version 0.1 import. Goes with 0.3."""

from backend.interactive.label_studio_ml import RisBackend

__all__ = ["RisBackend"]
