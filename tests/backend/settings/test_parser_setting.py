"""RIS_PARSER: another spaCy pipeline reads the expressions of every profile."""

from pathlib import Path

import numpy as np
import pytest
import spacy

from backend.settings.environment import Settings
from demo.scenes import make_scene
from ris_core import Image, load_segmenter
from ris_core.profiles import load_parser
from ris_core.runtime.weights import BUNDLED_FOLDER, WeightStore

pytestmark = pytest.mark.slow

TEXT = "the second cup from the left"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled one under another name, with a component that ours has not."""
    nlp = spacy.load(BUNDLED_FOLDER / "parser")
    nlp.meta["name"] = "mine"
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "BRAND", "pattern": "acme"}])
    folder = tmp_path_factory.mktemp("pipelines") / "mine"
    nlp.to_disk(folder)
    return folder


def settings(pipeline: Path | None) -> Settings:
    return Settings(_env_file=None, RIS_PARSER=str(pipeline) if pipeline else "")


def test_it_is_unset_without_a_value():
    assert settings(None).component_overrides == {}


def test_a_pipeline_of_ones_own_reads_and_is_part_of_the_model_version(pipeline: Path):
    own = load_segmenter("demo")
    other = load_segmenter("demo", **settings(pipeline).component_overrides)
    assert own.model_version != other.model_version
    assert own.encode_fp == other.encode_fp
    image = Image.from_array(make_scene(32).image)
    answers = [segmenter.segment(own.encode(image), TEXT) for segmenter in (own, other)]
    np.testing.assert_array_equal(answers[0].scores, answers[1].scores)


def test_another_pipeline_in_the_same_folder_is_another_version(pipeline: Path, tmp_path: Path):
    nlp = spacy.load(pipeline)
    nlp.remove_pipe("entity_ruler")
    nlp.to_disk(tmp_path / "mine")
    versions = {load_segmenter("demo", parser=str(folder)).model_version for folder in (pipeline, tmp_path / "mine")}
    assert len(versions) == 2


def test_a_parser_is_loaded_alone(pipeline: Path):
    parser = load_parser("base", WeightStore(), **settings(pipeline).component_overrides)
    assert parser.parse(TEXT).referents[0].head == "cup"
