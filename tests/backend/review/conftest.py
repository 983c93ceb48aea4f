"""A project with regions to review: of annotations, and of a prediction that nobody has annotated."""

import pytest

from backend.corrections.store import CorrectionStore
from backend.label_studio.annotations import AnnotationEvent, StoredPrediction
from backend.review.regions import ReviewedRegion, read_regions
from tests.backend.corrections.conftest import correction_store, store  # noqa: F401
from tests.backend.corrections.made import PROJECT, START, annotation, box, brush, drawn, event, hand_out, rle, send


@pytest.fixture
def project(store, correction_store) -> CorrectionStore:  # noqa: F811
    """Task 5: `a` was accepted as offered, `n` drawn by hand. Task 6: a prediction, `b`, that nobody has annotated."""
    hand_out(store, 5, [("a", 1)], [rle(0, 0)])
    send(store, event(annotation(1, 5, [brush("a", box(0, 0), "the box"), brush("n", box(0, 15), "red things")])))
    correction_store.read_events()
    regions = (drawn("b", box(5, 5), "the box", score=0.9),)
    predicted = StoredPrediction(9, PROJECT, "6", START, "v1", regions, {}, "/data/6.png")
    correction_store.add(AnnotationEvent(PROJECT), "api", [predicted])
    return correction_store


@pytest.fixture
def regions(project):
    """The regions as they are now, by name."""

    def read() -> dict[str, ReviewedRegion]:
        with project.reading() as db:
            return {one.key: one for one in read_regions(db, PROJECT)}

    return read
