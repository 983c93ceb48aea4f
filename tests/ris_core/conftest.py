"""Fixtures of the recorded cases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ris_core import golden


@pytest.fixture(scope="session")
def vit_b_32(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The recorded ViT-B/32's weights."""
    file = golden.write_clip(tmp_path_factory.mktemp("golden") / "clip.safetensors", "ViT-B-32-quickgelu")
    yield file
    file.unlink()
