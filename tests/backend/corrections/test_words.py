"""Which words corrections propose, and how often and by how many people."""

import pytest
import sqlalchemy as sa

from backend.corrections.words import WordRow, accept, find_substitution, list_rows, propose, remove
from backend.db.tables import answer
from ris_core.geometry.masks import from_rle
from ris_core.learning.words import Words
from tests.backend.corrections.made import PROJECT, annotation, brush, event, hand_out, rle, send
from tests.backend.corrections.test_offered_regions import pushed  # noqa: F401  (a fixture)

MASK, OTHER = rle(0, 0), rle(20, 0)


@pytest.mark.parametrize(
    ("offered", "saved", "pair"),
    [
        ("the tap on the left", "the faucet on the left", ("tap", "faucet")),
        ("The Tap.", "a tap", None),  # articles, case and stops
        ("the widget", "the red metal box", ("widget", "red metal box")),
        ("the cup near the tap", "the cup near the faucet", ("tap", "faucet")),
        ("the left dog", "the right dog", None),  # what is corrected is the place
        ("the red car", "the blue car", None),
        ("the dog", "the left dog", None),  # nothing stands in the place of another
        ("the dog on the left", "the dog", None),
        ("the dog", "the left one", None),
        ("dog", "", None),
        ("a b c d e f", "g h i j k l", None),  # another sentence
        ("tap tap", "tap", None),
        ("ein Wasserhahn", "ein Ventil", ("ein wasserhahn", "ein ventil")),
        ("\u200b<b>tap</b>", "<b>faucet</b>", ("tap", "faucet")),
    ],
)
def test_what_stands_in_the_place_of_other_words_is_found(offered, saved, pair):
    assert find_substitution(offered, saved) == (
        pair if pair != ("ein wasserhahn", "ein ventil") else ("wasserhahn", "ventil")
    )


def save(store, task, saved, *, offered="the mug", annotator=1, label="Object", read=None):
    """An annotator accepts what was offered for an expression, with this text and label."""
    hand_out(store, task, [(f"r{task}", 1)], [MASK, OTHER], expression=offered)
    if read:
        with store._engine.begin() as db:
            of_task = sa.update(answer).where(answer.c.task == str(task))
            db.execute(of_task.values(reading={"meant": list(read), "unused": []}))
    region = brush(f"r{task}", from_rle(MASK), saved, label)
    send(store, event(annotation(task, task, [region], completed_by=annotator)))


def proposed(correction_store):
    correction_store.read_events()
    with correction_store.reading() as db:
        return {
            (row.kind, row.phrase, row.meaning): (row.times, row.people, row.others) for row in propose(db, PROJECT)
        }


def test_a_relabelled_phrase_proposes_its_label(store, correction_store):
    for task, annotator in ((1, 1), (2, 1), (3, 2)):
        save(store, task, "the mug", annotator=annotator, label="Cup")
    save(store, 4, "the mug")
    save(store, 5, "the mug", label="Glass")
    save(
        store, 6, "the red mug by the sink", offered="the red mug by the sink", label="Cup", read=("mug", "the red mug")
    )
    assert proposed(correction_store) == {
        ("label", "mug", "Cup"): (3, 2, 2),
        ("label", "mug", "Glass"): (1, 1, 4),
        ("label", "red mug", "Cup"): (1, 1, 0),
    }


def test_a_reworded_sentence_proposes_what_stands_in_its_place(store, correction_store):
    save(store, 1, "the faucet on the left", offered="the tap on the left", annotator=1)
    save(store, 2, "the big faucet", offered="the big tap", annotator=2, label="Cup")
    save(store, 3, "tap", offered="tap")
    save(store, 4, "the right tap", offered="the left tap")  # a correction of the place: the tap was left as it is
    assert proposed(correction_store) == {("phrase", "tap", "faucet"): (2, 2, 1)}


def test_answers_of_runs_count_too_and_other_projects_do_not(store, correction_store, pushed):  # noqa: F811
    first = pushed[0]
    region = brush(first, from_rle(MASK), "the container", "Cup")
    send(store, event(annotation(1, 5, [region], completed_by=1)))
    region = brush(first, from_rle(MASK), "the box", "Cup")
    send(store, event(annotation(2, 5, [region], completed_by=2)))
    assert proposed(correction_store) == {("phrase", "box", "container"): (1, 1, 1), ("label", "box", "Cup"): (1, 1, 0)}
    with correction_store.reading() as db:
        assert propose(db, PROJECT + 1) == []


def test_the_table_has_what_was_accepted_also_if_nothing_proposes_it_any_more(store, correction_store):
    save(store, 1, "the faucet", offered="the tap")
    correction_store.read_events()
    words = Words({"mug": "Cup"}, {"tap": "spigot"})
    with correction_store.reading() as db:
        rows = list_rows(db, PROJECT, words)
    assert [(row.phrase, row.meaning, row.times, row.is_in(words)) for row in rows] == [
        ("tap", "faucet", 1, False),
        ("mug", "Cup", 0, True),
        ("tap", "spigot", 0, True),
    ]
    assert len({row.id for row in rows}) == 3
    assert accept(words, rows[:1]) == Words({"mug": "Cup"}, {"tap": "faucet"})
    assert remove(words, rows) == Words()
    assert remove(words, [WordRow("label", "mug", "Other")]) == words
