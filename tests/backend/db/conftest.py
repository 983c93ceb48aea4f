"""These tests are about making and migrating databases."""

import pytest


@pytest.fixture
def _copy_fresh_databases() -> None:
    """Every database is migrated here."""
