"""The answer that a region came from, in both databases."""

import pytest
import sqlalchemy as sa

from backend.db.answer_rows import AnswerOrigin, insert_answers
from backend.db.records import Answer
from backend.db.run_tables import run
from backend.review.answers import find_answer, read_answer
from backend.runs.answers import region_id
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from ris_core.errors import UnknownName
from tests.backend.corrections.made import CONFIG, HEIGHT, PROJECT, WIDTH, hand_out, rle
from tests.backend.corrections.test_offered_regions import fill

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


def test_an_annotators_answer_is_found_by_its_region(store, correction_store):
    hand_out(store, 5, [("a", 2)], [rle(0, 0), rle(20, 0)])
    hand_out(store, 6, [("b", 1)], [rle(0, 0)])
    with correction_store.reading() as db:
        found = find_answer(db, PROJECT, "5", "a")
        assert found is not None
        assert read_answer(db, PROJECT, "5", found.id) == found
        assert [(one.rank, one.iou, one.is_handed_out) for one in found.compare(rle(20, 0))] == [
            (1, 0.0, False),
            (2, 1.0, True),
        ]
        assert [one.iou for one in found.compare({"size": [1, 1], "counts": "01"})] == [None, None]
        for project, task, id in ((PROJECT, "5", "b"), (PROJECT, "6", "a"), (8, "5", "a"), (PROJECT, "5", "")):
            assert find_answer(db, project, task, id) is None
        with pytest.raises(UnknownName, match="no answer"):
            read_answer(db, PROJECT, "6", found.id)


def test_a_runs_answer_is_found_by_each_of_its_candidates(store, correction_store):
    def answered(expression: str) -> Answer:
        candidates = [{"rank": i + 1, "score": 0.9 - i / 10, "mask": rle(10 * i, 0)} for i in range(2)]
        return Answer(expression, "Object", "match", "v7", "fp", "ab", HEIGHT, WIDTH, candidates, [0], others=[1])

    with store._engine.begin() as db:
        spec = fill(run, id="r1", project=PROJECT, label_config=CONFIG, model_version="v7", spec={}, state="done")
        db.execute(sa.insert(run).values(spec))
        insert_answers(db, AnswerOrigin(PROJECT, "5", run="r1"), [answered("the box"), answered("the other")])
    with correction_store.reading() as db:
        for query, words in enumerate(("the box", "the other")):
            for index in range(2):
                found = find_answer(db, PROJECT, "5", region_id("r1", 5, query, index))
                assert found is not None
                assert (found.run, found.expression, found.head) == ("r1", words, None)
                assert [one.is_other for one in found.compare(rle(0, 0))] == [False, True]


def test_runs_are_listed_in_pages_and_counted_together(store):
    runs = RunStore(store.engine)
    ids = [runs.add_run(RunSpec(PROJECT, expressions=("x",))).id for _ in range(3)]
    listed = [[one.id for one in runs.list_runs(project=PROJECT, limit=2, start=start)] for start in (0, 2)]
    assert [len(page) for page in listed] == [2, 1]
    assert sorted(id for page in listed for id in page) == sorted(ids)
    assert runs.counts.by_run(ids) == {}
    assert runs.counts.by_run([]) == {}
