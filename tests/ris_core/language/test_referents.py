"""What expressions ask for: on hand-made parses, and with the bundled parser."""

import subprocess
import sys

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from demo.phrases import make_phrases
from demo.train_parser import make_doc
from ris_core.language.parser import Parser
from ris_core.language.referents import read
from ris_core.runtime.weights import BUNDLED_FOLDER
from ris_core.types import Expression
from tests.ris_core.outlines import outline

VOCAB = spacy.blank("en").vocab


def parsed(text: str) -> Doc:
    """Build a document from "word/POS/TAG/label>head" items."""
    rows = [item.rsplit("/", 3) for item in text.split()]
    edges = [edge.split(">") for *_, edge in rows]
    return Doc(
        VOCAB,
        words=[row[0] for row in rows],
        pos=[row[1] for row in rows],
        tags=[row[2] for row in rows],
        deps=[label for label, _ in edges],
        heads=[int(head) for _, head in edges],
    )


def outlines(doc: Doc) -> str:
    return " & ".join(outline(referent) for referent in read(doc))


CAT_BY_DOG_ON_LEFT = (
    "cat/NOUN/NN/ROOT>0 by/ADP/IN/prep>0 the/DET/DT/det>3 dog/NOUN/NN/pobj>1 on/ADP/IN/prep>{} left/NOUN/NN/pobj>4"
)
BAG_LEFT_ON_CHAIR = "bag/NOUN/NN/ROOT>0 left/{}>0 on/ADP/IN/prep>1 the/DET/DT/det>4 chair/NOUN/NN/pobj>2"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(0, "cat: near of (dog); at left", id="the cat is on the left"),
        pytest.param(3, "cat: near of (dog: at left)", id="the dog is on the left"),
    ],
)
def test_a_clause_belongs_to_the_phrase_that_it_hangs_on(head, expected):
    assert outlines(parsed(CAT_BY_DOG_ON_LEFT.format(head))) == expected


@pytest.mark.parametrize("tagged", ["VERB/VBN/acl", "ADV/RB/advmod"])
def test_a_bag_left_on_the_chair_is_not_on_the_left(tagged):
    doc = parsed(BAG_LEFT_ON_CHAIR.format(tagged))
    assert "left" not in outlines(doc).replace("left on", "")
    assert Expression.from_doc(doc).position == "none"


def test_what_is_said_of_clothes_is_said_of_who_wears_them():
    doc = parsed(
        "man/NOUN/NN/ROOT>0 in/ADP/IN/prep>0 a/DET/DT/det>3 hat/NOUN/NN/pobj>1 on/ADP/IN/prep>3 the/DET/DT/det>6 left/NOUN/NN/pobj>4"
    )
    assert outlines(doc) == "man in hat: at left"


def test_landmarks_that_point_at_each_other_end():
    circle = "cat/NOUN/NN/ROOT>0 by/ADP/IN/prep>3 the/DET/DT/det>3 dog/NOUN/NN/pobj>4 by/ADP/IN/prep>0 a/DET/DT/det>6 cat/NOUN/NN/pobj>4"
    assert outlines(parsed(circle)).startswith("cat")


def test_wordings_are_the_words_of_the_expression():
    doc = parsed(
        "the/DET/DT/det>2 second/ADJ/JJ/amod>2 dog/NOUN/NN/ROOT>2 from/ADP/IN/prep>2 the/DET/DT/det>5 left/NOUN/NN/pobj>3"
    )
    [dog] = read(doc)
    assert [clause.wording for clause in dog.clauses] == ["second from the left"]


def test_importing_the_reader_loads_no_spacy():
    code = "import sys, ris_core.language.referents; print('spacy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_every_tree_is_read_and_speaks_of_something(seed):
    for tree in make_phrases(5, seed):
        doc = make_doc(VOCAB, tree)
        referents = read(doc)
        assert referents
        assert all(clause.wording for thing in referents[0].things for clause in thing.clauses)
        assert len(referents[0].things) <= len(doc)


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(BUNDLED_FOLDER / "parser")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # positions
        ("left dog", "dog: at left"),
        ("dog left", "dog: at left"),
        ("right side dog", "dog: at right"),
        ("the upper left frog", "frog: at up; at left"),
        ("frog in the top left corner", "frog: at up; at left"),
        ("car in the bottom right of the picture", "car: at down; at right"),
        ("apple in the center", "apple: at middle"),
        ("the animal in the back", "animal: at back"),
        ("far chair", "chair: at back"),
        ("the one on the right", "anything: at right"),
        ("in the middle", "anything: at middle"),
        ("the picture on the left", "picture: at left"),
        # superlatives and ordinals
        ("leftmost dog", "dog: rank left 1"),
        ("left-most banana", "banana: rank left 1"),
        ("guy on the far left", "guy: rank left 1"),
        ("lowest apple", "apple: rank down 1"),
        ("the largest red car", "red car: rank big 1"),
        ("dog closest to the tree", "dog: rank near 1 (tree)"),
        ("the dog farthest from the cat", "dog: rank far 1 (cat)"),
        ("the chair nearest the window", "chair: rank near 1 (window)"),
        ("the dog nearest to the bottom", "dog: rank down 1"),
        ("closest person to the camera", "person: rank near 1 (camera)"),
        ("the closest dog", "dog: rank front 1"),
        ("smallest of the three dogs", "dog: rank small 1"),
        ("second dog from the left", "dog: rank left 2"),
        ("2nd zebra from right", "zebra: rank right 2"),
        ("the third apple from the top", "apple: rank up 3"),
        ("the second cup from left to right", "cup: rank left 2"),
        ("the second largest dog", "dog: rank big 2"),
        ("first car on the left", "car: rank left 1"),
        ("the last cup on the right", "cup: rank right 1"),
        ("the last dog from the left", "dog: rank right 1"),
        ("the third cup", "cup: rank left 3"),
        ("second from left", "anything: rank left 2"),
        # relations
        ("the red apple, left of the dog", "red apple: left of (dog)"),
        ("the apple under the table", "apple: down of (table)"),
        ("person in front of the bus", "person: front of (bus)"),
        ("the cat on top of the box", "cat: on of (box)"),
        ("the girl holding an umbrella", "girl holding umbrella: with of (umbrella)"),
        ("the bag left on the chair", "bag: on of (chair)"),
        ("bear that is bigger than the dog", "bear: big of (dog)"),
        ("the fish between the owl and the red car", "fish: between of (owl) (red car)"),
        ("fish between two cars", "fish: between of (2 car)"),
        ("elephant in the middle of the cows", "elephant: between of (all cow)"),
        ("the bag left of the second dog from the left", "bag: left of (dog: rank left 2)"),
        ("the frog under the largest tree", "frog: down of (tree: rank big 1)"),
        ("the cat that is left of the dog and above the tree", "cat: left of (dog); up of (tree)"),
        ("big elephant behind the small one", "elephant: rank big 1; back of (elephant: rank small 1)"),
        # no places
        # whose it is, where words say which one of them that is
        ("the left boy's shoe", "shoe: with of (boy: at left)"),
        ("the boy's shoe", "boy shoe"),
        ("ears of the tallest rabbit", "all ear: with of (rabbit: rank tall 1)"),
        ("a scarf around her neck", "scarf around her neck"),
        # parts without a side, areas
        ("the edge of a chair", "chair"),
        ("portion of the fence left of the gate", "fence: left of (gate)"),
        ("the brown part of the ground", "brown ground"),
        ("the green area left of the house", "green area: left of (house)"),
        # counted in an order of its own
        ("the cup on the second shelf from the top", "cup: on of (shelf: rank up 2)"),
        ("the hat on the man second from the left", "hat: on of (man: rank left 2)"),
        # gaze and direction are no place
        ("the car facing away from the camera", "car facing away"),
        ("the child smiling at the nurse", "child smiling at nurse"),
        ("the child at the window", "child: near of (window)"),
        # in a thing, and in clothes
        ("the bird in the cage", "bird: in of (cage)"),
        ("the woman in a sari", "woman in sari"),
        ("the man in the car", "man: in of (car)"),
        # without function words
        ("nurse green mask", "nurse with green mask"),
        ("old man cane", "old man with cane"),
        # several
        ("apple, pear, banana", "apple & pear & banana"),
        ("woman, left, smiling", "woman smiling: at left"),
        ("not the cyclist, the runner next to him", "runner - (cyclist)"),
        ("the suitcase beside a pair of boots", "suitcase: near of (all boot)"),
        ("left handed pitcher", "left handed pitcher"),
        ("the side table", "side table"),
        ("dog facing left", "dog facing left"),
        ("man sitting down", "man sitting"),
        ("woman with her back to us", "woman"),
        # parts
        ("left half of the cake", "cake: part left"),
        ("the right side of the sofa", "sofa: part right"),
        ("top of the tower", "tower: part up"),
        ("the very back of the truck", "truck: part back"),
        ("bottom left corner of the blanket", "blanket: part down; part left"),
        ("the front part of the large boat", "boat: part front; rank big 1"),
        ("upper half of the door on the right", "door: part up; at right"),
        ("left of the cake", "anything: left of (cake)"),
        ("the spoon on the left side of the cake", "spoon: left of (cake)"),
        ("bottom of the picture", "anything: at down"),
        ("middle of the goats", "anything: between of (all goat)"),
        # clothes that are named like places
        ("lady in a blue top", "lady in blue top"),
        ("woman in green top", "woman in green top"),
        ("girl wearing a striped top", "girl wearing striped top: with of (striped top)"),
        ("the lamp in the top left", "lamp: at up; at left"),
        # looks
        ("boy in blue with glasses", "boy in blue with glasses"),
        ("woman in red shirt standing on the left", "woman in red shirt standing: at left"),
        ("slice of pizza on the right", "slice of pizza: at right"),
        ("the apple that is red", "red apple"),
        ("white", "white object"),
        ("find the red dog", "red dog"),
        ("there is a dog on the left", "dog: at left"),
        # numbers
        ("the two cats", "2 cat"),
        ("both apples", "2 apple"),
        ("a couple of cats", "2 cat"),
        ("two of the red dogs", "2 red dog"),
        ("one of the dogs", "dog"),
        ("all red cars", "all red car"),
        ("all the fish", "all fish"),
        ("scissors on the left", "scissors: at left"),
        ("the two largest dogs", "2 dog: rank big 1"),
        ("the man and the woman", "man & woman"),
        # exclusions
        ("the car that is not red", "car - (red car)"),
        ("the dogs that are not red or blue", "all dog - (red dog) - (blue dog)"),
        ("horse with no rider", "horse - (horse with rider)"),
        ("man without a hat", "man - (man with hat)"),
        ("cup that does not have a lid", "cup - (cup with lid)"),
        ("dog not on the left", "dog: not at left"),
        ("the dog that is not next to the cat", "dog: not near of (cat)"),
        ("all dogs except the left one", "all dog - (dog: at left)"),
        ("all the cats but the black one", "all cat - (black cat)"),
        ("everyone except the man in red", "all person - (man in red)"),
        ("the girl, not the boy", "girl - (boy)"),
        ("not the red apple but the green one", "green apple - (red apple)"),
        ("the not red car", "car - (red car)"),
        ("the non-red car", "car - (red car)"),
        ("non-red cars", "all car - (red car)"),
        ("the not big dog", "dog: not rank big 1"),
        ("the cat and no dog", "cat - (dog)"),
        ("the cups other than the red one", "all cup - (red cup)"),
        ("everything except the cat", "all anything - (cat)"),
        ("all but the cat", "all anything - (cat)"),
        ("nothing but the cat", "cat"),
        ("not the cat", "anything - (cat)"),
        ("nothing", "anything - (object)"),
        ("the other cat", "cat"),
        ("the one on the left, not the cat", "anything: at left - (cat)"),
        # sizes
        ("the tall tree", "tree: rank tall 1"),
        ("the giant tree", "tree: rank big 1"),
        ("the long pencil", "pencil: rank long 1"),
        ("the smaller of the cups", "cup: rank small 1"),
        ("a tall glass of water", "glass of water: rank tall 1"),
        ("short sleeve shirt", "short sleeve shirt"),
        ("long-haired dog", "long haired dog"),
        # spellings
        ("the grey cat", "gray cat"),
        ("the red coloured cup", "red cup"),
        ("the dog in the centre", "dog: at middle"),
    ],
)
def test_the_bundled_parser_and_the_reader_together(parser, text, expected):
    assert " & ".join(outline(referent) for referent in parser.parse(text).referents) == expected
