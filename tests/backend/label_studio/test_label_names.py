"""Names of labels as data sets write them, and the words that people say for them."""

import pytest

from backend.label_studio import label_names
from backend.label_studio.label_names import read_aloud, split_words
from tests.backend.configs import control_of

STYLES = {
    "plural": (("Cars", "Frogs"), "the biggest frog", "frog", "Frogs"),
    "plural on the other side": (("Car", "Frog"), "both frogs", "frogs", "Frog"),
    "snake case": (("car", "big_frog"), "the big frog", "frog", "big_frog"),
    "capitals": (("FROG", "PINK_CAR"), "the pink car", "car", "PINK_CAR"),
    "kebab case": (("car", "tree-frog"), "the tree frog", "frog", "tree-frog"),
    "kebab case, said so": (("car", "Tree Frog"), "the tree-frog", "frog", "Tree Frog"),
    "camel case": (("Car", "TrafficLight"), "the left traffic light", "light", "TrafficLight"),
    "camel case in the plural": (("Car", "trafficLights"), "the left traffic light", "light", "trafficLights"),
    "written together": (("car", "trafficlight"), "the traffic lights", "lights", "trafficlight"),
    "said together": (("Car", "Hot Dog"), "the hotdog", "hotdog", "Hot Dog"),
    "in brackets": (("Car (vehicle)", "Frog (animal)"), "the biggest frog", "frog", "Frog (animal)"),
    "told apart in brackets": (("Frog (toy)", "Frog (animal)"), "the toy frog", "frog", "Frog (toy)"),
    "numbered": (("1. Car", "2. Frog"), "the biggest frog", "frog", "2. Frog"),
    "numbered with brackets": (("1) Car", "(2) Frog"), "the biggest frog", "frog", "(2) Frog"),
    "numbered with zeros": (("02_car", "03_frog"), "the biggest frog", "frog", "03_frog"),
    "numbered without a gap": (("02Car", "03frog"), "the biggest frog", "frog", "03frog"),
    "lettered": (("a) Car", "b) Frog"), "the biggest frog", "frog", "b) Frog"),
    "keycap": (("1️⃣ Car", "2️⃣ Frog"), "the biggest frog", "frog", "2️⃣ Frog"),
    "emoji": (("🚗 Car", "🐸 Frog"), "the biggest frog", "frog", "🐸 Frog"),
    "emoji behind": (("Car🚗", "Frog🐸"), "the biggest frog", "frog", "Frog🐸"),
    "path": (("Vehicle/Car", "Animal/Frog"), "the biggest frog", "frog", "Animal/Frog"),
    "what it may be too": (("Car", "Frog/Toad"), "the frog", "frog", "Frog/Toad"),
    "what it may be, with bars": (("Car", "Frog | Toad"), "the frog", "frog", "Frog | Toad"),
    "British": (("blue car", "grey car"), "the gray cars", "cars", "grey car"),
    "American": (("Car", "Tire"), "the tyres", "tyres", "Tire"),
    "path with arrows": (("Vehicle > Car", "Animal > Frog"), "the biggest frog", "frog", "Animal > Frog"),
    "path with dots": (("vehicle.car", "animal.frog"), "the biggest frog", "frog", "animal.frog"),
    "path with colons": (("class:car", "class:frog"), "the biggest frog", "frog", "class:frog"),
    "inverted": (("Car", "Frog; green"), "the green frog", "frog", "Frog; green"),
    "inverted with a comma": (("Frog, small", "Frog, large"), "the large frog", "frog", "Frog, large"),
    "everything at once": (("01_Cars (🚗)", "02_Animals/TreeFrogs (🐸)"), "the tree frog", "frog",
                           "02_Animals/TreeFrogs (🐸)"),
    "accents": (("Thé", "Café"), "the cafe", "cafe", "Café"),
    "full width": (("Ｃａｒ", "Ｆｒｏｇ"), "the frog", "frog", "Ｆｒｏｇ"),
    "several words with a preposition": (("coffee", "Cup of coffee"), "the cup of coffee on the left", "cup",
                                         "Cup of coffee"),
    "an acronym in the plural": (("Radio", "TVs"), "the TV on the wall", "tv", "TVs"),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "text", "head", "label"), STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_label_is_known_in_whatever_style_it_is_written(labels, text, head, label, is_reversed):
    names = names_of(*(reversed(labels) if is_reversed else labels))
    match = names.find_noun(text, head)
    assert match is not None
    assert match.labels == (label,)


PLURALS = {
    "mouse": "mice", "person": "people", "knife": "knives", "leaf": "leaves", "bus": "buses", "glasses": "glasses",
    "series": "series", "child": "children", "grandchild": "grandchildren", "fireman": "firemen", "goose": "geese",
    "suitcase": "suitcases", "house": "houses", "horse": "horses", "vase": "vases", "lens": "lenses", "box": "boxes",
    "dish": "dishes", "berry": "berries", "key": "keys", "shoe": "shoes", "potato": "potatoes", "ski": "skis",
    "sheep": "sheep", "dress": "dresses", "glass": "glasses", "cactus": "cacti", "tooth": "teeth", "scarf": "scarves",
    "glove": "gloves", "bookshelf": "bookshelves", "quiz": "quizzes", "gas": "gases", "tie": "ties", "axe": "axes",
}  # fmt: skip


@pytest.mark.parametrize(("singular", "plural"), PLURALS.items())
def test_singular_and_plural_are_one_on_both_sides(singular, plural):
    assert names_of("Other", plural.title()).find_noun(f"the {singular}", singular).labels == (plural.title(),)
    assert names_of("Other", singular.title()).find_noun(f"two {plural}", plural).labels == (singular.title(),)


@pytest.mark.parametrize(
    ("label", "said"), [("Glass", "grass"), ("Bras", "brass"), ("Cat", "car"), ("3D printer", "printer")]
)
def test_other_words_are_not_taken_for_plurals(label, said):
    assert names_of("Other", label).find_noun(f"the {said}", said) is None


CHOICES = {
    "exact before folded": (("Frogs", "frog"), "the frog", "frog", ("frog",)),
    "as written before another case": (("FROG", "frog"), "the frog", "frog", ("frog",)),
    "another case before folded": (("tree_frog", "Tree Frog"), "the tree frog", "frog", ("Tree Frog",)),
    "whole before a part": (("Animal/Frog", "frogs"), "the frog", "frog", ("frogs",)),
    "longer before shorter": (("frog", "tree_frog"), "the tree frog", "frog", ("tree_frog",)),
    "what the noun is, not what stands beside it": (("red car", "car"), "the car left of the red car", "car", ("car",)),
    "not half of a name": (("Traffic light", "x"), "the light on the left", "light", None),
    "not a word beside the noun": (("Traffic", "x"), "the traffic light", "light", None),
    "two that nothing tells apart": (("frog_1", "frog_2"), "the frog", "frog", ("frog_1", "frog_2")),
    "two in another case": (("FROG", "frog"), "the Frog", "frog", ("FROG", "frog")),
    "only emoji": (("🐸", "🚗"), "the frog", "frog", None),
    "only numbers": (("9:15", "10:30"), "the 15 on the shirt", "15", None),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "text", "head", "found"), CHOICES.values(), ids=CHOICES)
def test_of_several_names_the_nearest_counts_and_a_tie_is_told(labels, text, head, found):
    match = names_of(*labels).find_noun(text, head)
    assert (match and match.labels) == found


def test_a_head_in_the_singular_is_found_in_the_text():
    names = names_of("frog", "tree_frog", "car")
    assert names.find_noun("not the car but the tree frogs", "frog", "tree frog").labels == ("tree_frog",)


def test_the_phrase_says_which_of_two_equal_words_is_meant():
    names = names_of("pink car", "blue car", "car")
    text = "left of the blue car the pink car"
    assert names.find_noun(text, "car", "the pink car").labels == ("pink car",)


ALIASES = {
    "plural aliases": ('predicted_values="cars, trucks"', "the truck", "truck"),
    "alias of several words": ('predicted_values="pick_up truck,x"', "the pick up trucks", "trucks"),
    "alias in another case": ('predicted_values="SUV"', "the suvs", "suvs"),
}


@pytest.mark.parametrize(("attributes", "text", "head"), ALIASES.values(), ids=ALIASES)
def test_predicted_values_are_folded_too(attributes, text, head):
    control = control_of('<Label value="Plant"/>', f'<Label value="Vehicle" {attributes}/>')
    assert control.names.find_noun(text, head).labels == ("Vehicle",)


def test_what_a_label_is_called_goes_before_what_another_one_stands_for():
    control = control_of('<Label value="A" predicted_values="frog"/>', '<Label value="Frog"/>')
    assert control.names.find_noun("the frog", "frog").labels == ("Frog",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("03_TrafficLights 🚦", ("03", "traffic", "lights")),
        ("3D printer", ("3d", "printer")),
        ("HTMLPage", ("html", "page")),
        ("ガラス", ("ガラス",)),  # a mark that makes another letter of it is kept
        ("हिन्दी", ("हिन्दी",)),
        ("Straße", ("strasse",)),
        ("", ()),
        ("🐸", ()),
    ],
)
def test_words_are_taken_apart_and_folded(text, words):
    assert split_words(text) == words


def test_names_are_read_once_however_often_a_label_config_comes(monkeypatch):
    labels = [f"{i}. Kind{i % 7}/Thing{i} (no {i})" for i in range(50)]
    assert names_of(*labels).find("Thing7").labels == (labels[7],)
    monkeypatch.setattr(label_names, "_read", None)
    assert names_of(*labels).find("Thing8").labels == (labels[8],)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Frog", "Frog"),
        ("Traffic light", "Traffic light"),
        ("traffic_light", "traffic light"),
        ("TrafficLight", "traffic light"),
        ("PINK_CAR", "pink car"),
        ("2. Frog", "frog"),
        ("a) Frog", "frog"),
        ("Frog (animal)", "frog"),
        ("(animal)", "animal"),
        ("02_Animals/TreeFrogs (🐸)", "tree frogs"),
        ("class:frog", "frog"),
        ("Frog; green", "green frog"),
        ("9:15", "15"),
        ("🐸", "🐸"),
    ],
)
def test_a_name_is_read_aloud_as_an_expression(name, text):
    assert read_aloud(name) == text


def names_of(*labels: str):
    return control_of(*(f'<Label value="{label.replace(">", "&gt;")}"/>' for label in labels)).names
