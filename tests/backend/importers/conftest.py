"""The data sets that imports read are those that exports write."""

from tests.backend.exporters.conftest import correction_store, export_as, project

__all__ = ["correction_store", "export_as", "project"]
