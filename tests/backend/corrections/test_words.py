"""Which words corrections propose, and how often and by how many people."""

import json

import pytest
import sqlalchemy as sa

from backend.corrections.words import WordRow, accept, find_substitution, list_rows, propose, remove
from backend.db.tables import answer
from ris_core.errors import BadInput
from ris_core.geometry.masks import from_rle
from ris_core.learning.lesson import Lesson
from ris_core.learning.words import Words
from tests.backend.corrections.made import PROJECT, annotation, brush, event, hand_out, rle, send
from tests.backend.corrections.test_learning import VERSION, label, ris  # noqa: F401  (a fixture)
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


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
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


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
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


@pytest.fixture
def words(store, ris):  # noqa: F811
    """`ris words` in a project of two tasks whose annotator writes "faucet" for "tap", and labels it Cup."""
    for task, saved, label_ in ((901, "the faucet", "Object"), (902, "the tap", "Cup")):
        save(store, task, saved, offered="the tap", label=label_)
    with store._engine.begin() as db:
        db.execute(sa.update(answer).values(model_version=VERSION))
    return lambda *arguments: ris(*arguments, command="words")


def ids_of(output: str) -> dict[str, str]:
    """The ids of the rows by their phrase and meaning."""
    rows = [line.split("  ") for line in output.split("\n\n")[0].splitlines()[1:]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {" -> ".join(cell for cell in row[1:-3] if cell != "yes"): row[0] for row in cells}


def test_a_lead_accepts_and_removes_words(store, words, ris):  # noqa: F811
    ids = ids_of(words())
    assert set(ids) == {"tap -> faucet", "tap -> label Cup"}
    said = words("--accept", f"{ids['tap -> faucet']}, {ids['tap -> label Cup']}")
    lesson = store.lessons.history(PROJECT)[-1].lesson
    assert (lesson.words, lesson.calibrator) == (Words({"tap": "Cup"}, {"tap": "faucet"}), None)
    assert f"answers with {lesson.model_version} from now on, with 2 accepted words" in said
    assert store.lessons.name_version(PROJECT, VERSION) == lesson.model_version
    assert ids_of(words()) == ids
    assert [row["is_accepted"] for row in json.loads(words("--json"))] == [True, True]
    assert "Nothing is changed: 2 words" in words("--accept", ids["tap -> faucet"])
    words("--remove", ids["tap -> faucet"])
    assert store.lessons.find_words(PROJECT) == Words({"tap": "Cup"})
    ris("--undo")
    assert store.lessons.find_words(PROJECT) == lesson.words
    assert [line.split()[-1] for line in ris("--history").splitlines()[1:]] == ["2", "1", "2"]


def test_what_cannot_be_accepted_is_refused(store, words):
    save(store, 903, "the spigot", offered="the tap")
    with store._engine.begin() as db:
        db.execute(sa.update(answer).values(model_version=VERSION))
    ids = ids_of(words())
    with pytest.raises(BadInput, match=f"No rows of project {PROJECT} have the id 'tap'.*first column"):
        words("--accept", "tap")
    with pytest.raises(BadInput, match=r"'tap' cannot mean '.*' and '.*'\. Accept one"):
        words("--accept", f"{ids['tap -> faucet']},{ids['tap -> spigot']}")
    with pytest.raises(BadInput, match="to be accepted and to be removed"):
        words("--accept", ids["tap -> faucet"], "--remove", ids["tap -> faucet"])
    assert store.lessons.history(PROJECT) == []


def test_what_is_learnt_keeps_the_words_and_the_page_has_them(store, words, ris, tmp_path):  # noqa: F811
    save(store, 903, "the <script>alert(1)</script> \x1b[31m", offered="the mug <script> alert")
    with store._engine.begin() as db:
        db.execute(sa.update(answer).values(model_version=VERSION))
    assert "\x1b" not in words()
    words("--accept", ids_of(words())["tap -> faucet"])
    label(store)
    ris("--apply", "--out", "page.html")
    lesson = store.lessons.history(PROJECT)[-1].lesson
    assert (lesson.words, lesson.calibrator is None) == (Words({}, {"tap": "faucet"}), False)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f'<td dir="auto">{cell}</td>' in page for cell in ("tap", "faucet", "yes", "label Cup"))
    assert "<script>" not in page
    words("--accept", ids_of(words())["tap -> label Cup"])
    change = store.lessons.history(PROJECT)[-1]
    assert (change.lesson.calibrator, change.about["answers"]) == (lesson.calibrator, 150)


def test_words_of_another_version_count_once_they_are_accepted_again(store, words):
    accepted = Words({}, {"tap": "faucet"})
    store.lessons.apply(PROJECT, Lesson("base.guided.00000001", words=accepted), {}, PROJECT)
    shown = words()
    assert f"do not count for {VERSION} yet: accept one of them again" in shown
    words("--accept", ids_of(shown)["tap -> faucet"])
    assert store.lessons.history(PROJECT)[-1].lesson == Lesson(VERSION, words=accepted)
    assert "do not count" not in words()


def test_without_changed_words_it_says_so(store, ris):  # noqa: F811
    label(store, 1)
    assert "propose no words" in ris(command="words")
