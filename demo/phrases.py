"""Referring expressions with their dependency trees, made by a small seeded grammar: training data for the demo parser.

`make_phrases` composes noun phrases ("the second red car"), places ("on the far left"), relations ("left of the dog"),
clauses ("that is not red"), and what people type: fragments ("left guy", "standing on the left"), telegrams ("boy striped
sweater", "top left corner cup"), parts ("the back of the bench"). Some nouns are invented, so that a noun is told by where it
stands. Trees follow the ClearNLP labels of `demo.ud_to_clear`.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.ud_to_clear import Token


def _words(text: str) -> list[str]:
    return text.split()


_VOCABULARY = json.loads((Path(__file__).parent / "vocabulary.json").read_text(encoding="utf-8"))


@dataclass
class Node:
    """A word and the subtrees to its left and right, in sentence order."""

    text: str
    tag: str
    dep: str = "ROOT"
    left: list["Node"] = field(default_factory=list)
    right: list["Node"] = field(default_factory=list)
    pos: str = ""

    def as_(self, dep: str) -> "Node":
        """Label this subtree; returns itself so that calls nest."""
        self.dep = dep
        return self

    def with_(self, *right: "Node") -> "Node":
        """Append subtrees on the right; returns itself."""
        self.right.extend(right)
        return self


def make_phrases(count: int, seed: int, exclude: frozenset[str] = frozenset()) -> list[list[Token]]:
    """Make `count` different expressions as trees; the same seed gives the same list.

    Args:
        exclude: Expressions (words joined by blanks) that must not occur, such as those trained on.
    """
    grammar = _Grammar(random.Random(seed))
    seen = set(exclude)
    trees: list[list[Token]] = []
    while len(trees) < count:
        roots = grammar.expression()
        tokens = [token for root in roots for token in flatten(root)]
        if (text := " ".join(token.text for token in tokens)) not in seen:
            seen.add(text)
            trees.append(_join([flatten(root) for root in roots]))
    return trees


def flatten(root: Node) -> list[Token]:
    """Write a tree as a list of tokens whose heads are indices; the root is its own head."""
    order: list[tuple[Node, Node]] = []

    def visit(node: Node, parent: Node) -> None:
        for child in node.left:
            visit(child, node)
        order.append((node, parent))
        for child in node.right:
            visit(child, node)

    visit(root, root)
    index = {id(node): i for i, (node, _) in enumerate(order)}
    return [
        Token(n.text, n.pos or _POS[n.tag], n.tag, index[id(p)], "ROOT" if n is root else n.dep, _morph(n))
        for n, p in order
    ]


def _join(sentences: list[list[Token]]) -> list[Token]:
    tokens: list[Token] = []
    for sentence in sentences:
        start = len(tokens)
        tokens += [Token(t.text, t.pos, t.tag, t.head + start, t.dep, t.morph) for t in sentence]
    return tokens


_POS = {
    "NN": "NOUN", "NNS": "NOUN", "JJ": "ADJ", "JJR": "ADJ", "JJS": "ADJ", "RB": "ADV", "RBR": "ADV", "RBS": "ADV",
    "DT": "DET", "IN": "ADP", "VBG": "VERB", "VBN": "VERB", "VBZ": "AUX", "VBP": "AUX", "CD": "NUM", "CC": "CCONJ",
    "PRP": "PRON", "PRP$": "PRON", "WDT": "PRON", "WP": "PRON", "PDT": "DET", "POS": "PART", "RP": "ADP",
    "EX": "PRON", ",": "PUNCT", ".": "PUNCT", "TO": "PART",
}  # fmt: skip
_MORPH = {
    "NN": "Number=Sing", "NNS": "Number=Plur", "JJ": "Degree=Pos", "JJR": "Degree=Cmp", "JJS": "Degree=Sup",
    "RBR": "Degree=Cmp", "RBS": "Degree=Sup", "CD": "NumType=Card", "VBG": "Tense=Pres|VerbForm=Part",
    "VBN": "Tense=Past|VerbForm=Part", "WDT": "PronType=Rel", "WP": "PronType=Rel",
    "VBZ": "Number=Sing|Person=3|Tense=Pres|VerbForm=Fin", "VBP": "Number=Plur|Tense=Pres|VerbForm=Fin",
}  # fmt: skip
_WORD_MORPH = {
    "the": "Definite=Def|PronType=Art",
    "a": "Definite=Ind|PronType=Art",
    "an": "Definite=Ind|PronType=Art",
    "not": "Polarity=Neg",
}
_ORDINALS = _words("""
    first second third fourth fifth sixth last 1st 2nd 3rd 4th 5th
    """)


def _morph(node: Node) -> str:
    if node.tag == "JJ" and node.text in _ORDINALS:
        return "Degree=Pos|NumType=Ord"
    return _WORD_MORPH.get(node.text, _MORPH.get(node.tag, ""))


_PEOPLE = _words("""
    man woman guy girl boy person kid child lady player batter catcher umpire skier surfer skateboarder baby dude
    chef officer bride groom
    """)
_COCO = _words("""
    bike motorcycle plane light hydrant sign meter bench bird sheep bear zebra giraffe handbag tie suitcase frisbee
    snowboard kite bat glove skateboard surfboard racket bottle glass fork knife spoon bowl sandwich orange broccoli
    donut couch sofa plant bed table toilet tv laptop mouse remote keyboard phone microwave oven toaster sink
    refrigerator vase bear toothbrush plate bag box van animal fruit vegetable food drink window door wall fence
    counter basket pot pan slice piece muffin bun carrot calf cub kitten puppy chick doll toy lamp pillow blanket
    flower tail head
    """)
_SCENERY = _words("""
    sky cloud hill mountain rock tree road grass water street building wall post river beach sand snow field bush shadow
    sidewalk ground floor ceiling roof tower bridge path forest island lake sun waterfall cliff statue church ship boat lamp
    pole column arch stairs step tunnel station canoe lamppost reflection darkness smile face hand arm leg area space thing
""")
_COMPOUNDS = _words("""
    wine_glass tennis_player baseball_bat teddy_bear fire_hydrant stop_sign traffic_light hot_dog cell_phone
    coffee_cup parking_meter soccer_ball baseball_player pizza_slice dining_table police_officer water_bottle
    potted_plant school_bus fire_truck tennis_racket birthday_cake train_car polo_shirt
    """)
_IRREGULAR = {
    "man": "men", "woman": "women", "person": "people", "child": "children", "sheep": "sheep", "fish": "fish",
    "mouse": "mice", "knife": "knives", "scissors": "scissors", "grapes": "grapes", "broccoli": "broccoli",
    "food": "food", "lady": "ladies", "baby": "babies", "puppy": "puppies", "penny": "pennies",
    "cherry": "cherries", "strawberry": "strawberries", "butterfly": "butterflies", "calf": "calves",
    "batter": "batters",
}  # fmt: skip
_CLOTHES = _words("""
    shirt jacket hat coat dress pants shorts cap helmet sweater tie suit glasses sunglasses jersey vest shoes skirt
    hoodie scarf jeans uniform backpack gloves boots uniform apron top blouse sweatshirt robe trunks socks
    """)
_PLURAL_CLOTHES = {"pants", "shorts", "glasses", "sunglasses", "shoes", "jeans", "gloves", "boots", "trunks", "socks"}
_PARTS = _words("""
    beard hair stripes spots glasses hat horns tail tie umbrella bag racket bat ball phone camera wheels collar
    ponytail mustache tag number logo bow
    """)
_COLOURS = [*_VOCABULARY["tints"], *_words("grey tan golden silver dark light blonde beige navy maroon teal")]
_QUALITIES = _words("""
    big small large little tall short old young tiny huge empty full round open closed striped plaid dark bright fat
    thin long wooden metal plain spotted furry bald standing sitting cut whole blurry shiny older younger partial
    """)
_COMPARATIVES = _words("""
    bigger smaller larger taller closer shorter darker lighter older younger nearer tinier longer higher lower
    thinner
    """)
_SUPERLATIVES = _words("""
    biggest smallest largest tallest closest shortest darkest lightest nearest oldest tiniest longest leftmost
    rightmost farthest furthest highest lowest brightest fattest
    """)
_SIDES = _words("""
    left right top bottom middle front back far near upper lower center rear central
    """)
_NUMBERS = ["two", "three", "four", "five", "2", "3", "4"]
_ACTIONS = {
    "holding": "object", "wearing": "clothes", "riding": "object", "carrying": "object", "eating": "object",
    "throwing": "object", "pushing": "object", "watching": "object", "touching": "object", "facing": "facing",
    "looking": "prep", "standing": "prep", "sitting": "prep", "walking": "prep", "lying": "prep", "laying": "prep",
    "leaning": "prep", "running": "prep", "jumping": "none", "smiling": "none", "swinging": "object",
    "kneeling": "prep", "using": "object", "cutting": "object", "drinking": "object", "parked": "prep",
    "crouching": "none", "bending": "particle", "bent": "particle",
}  # fmt: skip
_SIMPLE_RELATIONS = _words("""
    behind under above below near beside by over beneath underneath inside within on in against
    """)
_ONSETS = _words("b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl sn sp st t th tr v w y z")
_VOWELS = _words("a e i o u ea ee oo ou ai")
_ENDINGS = _words("b ck d er et g k l le m n p r rd sh t tor ket ler ng nk ner per y")
_HABITS = {
    "sit": "sits",
    "stand": "stands",
    "hold": "holds",
    "wear": "wears",
    "ride": "rides",
    "lean": "leans",
    "have": "has",
    "lie": "lies",
}
_DONE = {
    "held": "by",
    "ridden": "by",
    "covered": "by",
    "worn": "by",
    "eaten": "by",
    "filled": "with",
    "mounted": "on",
    "located": "on",
}
"""Participles, and the word before what they are done by."""
_VERBS_OF_BEING = {True: ("are", "VBP"), False: ("is", "VBZ")}


class _Grammar:
    """Draws trees; every method returns the root of a fresh subtree."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.nouns = [*_VOCABULARY["classes"], *_VOCABULARY["classes"], *_PEOPLE, *_PEOPLE, *_PEOPLE, *_COCO, *_SCENERY]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def pick(self, words: Sequence[str]) -> str:
        return self.rng.choice(words)

    def expression(self) -> list[Node]:
        """One expression: mostly one tree, sometimes two fragments with a full stop between them."""
        if self.chance(0.05):
            first = self.target() if self.chance(0.7) else self.fragment()
            return [first.with_(Node(".", ".", "punct")), self.target() if self.chance(0.5) else self.fragment()]
        draw: Callable[[], Node] = self.rng.choices(
            [self.target, self.fragment, self.clause, self.listed, self.telegram, self.part_of], [64, 10, 6, 6, 10, 4]
        )[0]
        return [draw()]

    # --- whole expressions

    def target(self) -> Node:
        """A noun phrase with up to three modifiers."""
        head = self.noun_phrase(0.55)
        for _ in range(self.rng.choices([0, 1, 2, 3], [18, 55, 22, 5])[0]):
            if not head.right or head.right[-1].dep not in ("relcl", "advmod"):
                self.modifier(head)
        return head

    def modifier(self, head: Node) -> None:
        kinds = [
            self.place,
            self.relation,
            self.attribute,
            self.action,
            self.relative_clause,
            self.beside_word,
            self.bare_place,
            self.done,
        ]
        head.with_(self.rng.choices(kinds, [26, 27, 14, 14, 9, 6, 4, 3])[0](head))

    def fragment(self) -> Node:
        """What people type without a noun: "standing on the left", "in the middle", "white", "third from left"."""
        kind = self.rng.randrange(8)
        if kind == 0:
            return self.place(None)
        if kind == 1:
            word = self.pick([*_COLOURS, *_QUALITIES, *_SUPERLATIVES, *_COMPARATIVES])
            return self.described(Node(word, _adjective_tag(word)))
        if kind == 2:
            return Node(self.pick(_ORDINALS), "JJ").with_(self.prep("from", self.side_noun(), 0.5))
        if kind == 3:
            return self.side_words()
        if kind in (4, 5):
            return self.action(None)
        if kind == 6:
            return self.relation(None)
        return Node(self.pick(["left", "right", "middle", "center", "top", "bottom"]), "NN")

    def described(self, root: Node) -> Node:
        return root.with_(self.place(None)) if self.chance(0.4) else root

    def clause(self) -> Node:
        """A sentence: "the man is eating pizza", "there is a dog on the left", "the cat is black"."""
        subject = self.noun_phrase(0.9)
        be, be_tag = _VERBS_OF_BEING[subject.tag == "NNS"]
        kind = self.rng.randrange(6)
        if kind > 3:
            return self._does(subject)
        if kind == 0:
            verb = self.action(None)
            verb.left[:0] = [subject.as_("nsubj"), Node(be, be_tag, "aux")]
            return verb
        copula = Node(be, be_tag)
        if kind == 1:
            return self._there(copula, subject)
        copula.left.append(subject.as_("nsubj"))
        return copula.with_(self.place(None).as_("prep") if kind == 2 else Node(self.pick(_COLOURS), "JJ", "acomp"))

    def _does(self, subject: Node) -> Node:
        """ "a boy sits on the left", "the person wears a black hat"."""
        is_plural = subject.tag == "NNS"
        word = self.pick(list(_HABITS))
        verb = Node(
            _HABITS[word] if not is_plural else word,
            "VBP" if is_plural else "VBZ",
            pos="VERB",
            left=[subject.as_("nsubj")],
        )
        if word in ("wear", "hold", "ride", "have"):
            return verb.with_((self.garment() if word == "wear" else self.landmark()).as_("dobj"))
        return verb.with_(self.place(None) if self.chance(0.5) else self.relation(None))

    def _there(self, copula: Node, subject: Node) -> Node:
        copula.left.append(Node("there", "EX", "expl"))
        return copula.with_(subject.as_("attr").with_(self.place(None)))

    def listed(self) -> Node:
        """Two parts with a comma or a conjunction: "man, left", "the girl, not the boy", "the cat and the dog"."""
        head = self.target()
        kind = self.rng.randrange(5)
        if kind == 0:
            other = self.noun_phrase(0.8)
            return head.with_(Node("and", "CC", "cc"), other.as_("conj"))
        head.with_(Node(",", ",", "punct"))
        if kind == 1:
            other = self.noun_phrase(0.95).as_("appos")
            other.left.insert(0, Node("not", "RB", "neg", pos="PART"))
            return head.with_(other)
        if kind == 2:
            return head.with_(self.noun_phrase(0.3).as_("appos"))
        return head.with_(self.place(None)) if kind == 3 else head.with_(self.action(head))

    def telegram(self) -> Node:
        """Without function words: "boy striped sweater", "left woman long hair", "guy blue shirt right", "bottom corner cup"."""
        head = self.noun_phrase(0.0, modifiers=self.chance(0.4))
        if self.chance(0.25):  # the place first
            place = self.side_words()
            head.left.insert(0, place.as_("compound"))
            return head
        for _ in range(self.rng.choice([1, 1, 2])):
            thing = self.garment() if self.chance(0.6) else self.part()
            thing.left = [word for word in thing.left if word.dep in ("amod", "compound")]
            if thing.left or head.text in _PEOPLE:
                head.with_(thing.as_("appos"))
        if self.chance(0.45) or not head.right:
            place = self.bare_place(head) if self.chance(0.5) else self.side_words().as_("npadvmod")
            head.with_(place)
        return head

    def part_of(self) -> Node:
        """A side of a thing: "the back of the bench", "left half of the pizza", "top of the hill"."""
        word = self.pick(["back", "front", "top", "bottom", "end", "edge", "side", "half", "corner", "middle", "part"])
        root = Node(word, "NN")
        if word in ("end", "edge", "side", "half", "corner", "part"):
            root.left.append(Node(self.pick(_SIDES[:6]), "JJ", "amod"))
        if self.chance(0.7):
            root.left.insert(0, Node("the", "DT", "det"))
        return root.with_(self._of(self.noun_phrase(0.85)))

    # --- noun phrases

    def noun_phrase(self, article: float, modifiers: bool = True) -> Node:
        """A determiner, adjectives and a noun; `article` is the chance of a determiner."""
        plural = self.chance(0.12)
        if not plural and self.chance(0.06):
            return self.pronoun_one()
        head = self.noun(plural)
        left: list[Node] = []
        if self.chance(article):
            left.append(self.determiner(plural))
        if plural and self.chance(0.5):
            left.append(Node(self.pick(_NUMBERS), "CD", "nummod"))
        if modifiers:
            left += self.adjectives()
        if left and left[0].text == "a" and (left[1:] or head.left or [head])[0].text[0] in "aeiou":
            left[0].text = "an"
        head.left[:0] = left
        return head

    def noun(self, plural: bool) -> Node:
        if self.chance(0.08):
            first, second = self.pick(_COMPOUNDS).split("_")
            noun = Node(_plural(second) if plural else second, "NNS" if plural else "NN")
            noun.left.append(
                Node(
                    first,
                    "JJ" if first in ("hot", "potted") else "NN",
                    "amod" if first in ("hot", "potted") else "compound",
                )
            )
            return noun
        word = self.pick(self.nouns) if self.chance(0.85) else self.invented()
        is_plural = plural or word in ("scissors", "grapes")
        return Node(_plural(word) if plural else word, "NNS" if is_plural else "NN")

    def invented(self) -> str:
        """A word that is in no dictionary, but sounds like a noun: "blicket", "dropper"."""
        syllables = [self.pick(_ONSETS) + self.pick(_VOWELS) for _ in range(self.rng.choice([1, 1, 2]))]
        return "".join(syllables) + self.pick(_ENDINGS)

    def pronoun_one(self) -> Node:
        if self.chance(0.25):
            return Node(self.pick(["someone", "anyone", "everything", "something", "thing"]), "NN", pos="PRON")
        one = Node("one", "NN", pos="NOUN")
        if self.chance(0.6):
            one.left.append(Node("the", "DT", "det"))
        one.left += self.adjectives()
        return one

    def determiner(self, plural: bool) -> Node:
        if plural:
            return Node(self.pick(["the", "the", "all", "both", "these", "some"]), "DT", "det")
        if self.chance(0.04):
            return Node(self.pick(["his", "her", "its", "their"]), "PRP$", "poss")
        if self.chance(0.04):
            owner = Node(self.pick(_PEOPLE), "NN", "poss")
            owner.left, owner.right = [Node("the", "DT", "det"), *self.adjectives()], [Node("'s", "POS", "case")]
            return owner
        return Node(self.rng.choices(["the", "a", "that", "this"], [70, 24, 3, 3])[0], "DT", "det")

    def adjectives(self) -> list[Node]:
        kind = self.rng.choices(
            ["none", "colour", "side", "superlative", "ordinal", "comparative", "quality", "two"],
            [30, 24, 14, 9, 6, 5, 7, 5],
        )[0]
        if kind == "none":
            return []
        if kind == "two":
            first, second = self.pick([*_ORDINALS, *_SUPERLATIVES, *_QUALITIES, *_SIDES[:5]]), self.pick(_COLOURS)
            return [Node(first, _adjective_tag(first), "amod"), Node(second, "JJ", "amod")]
        if kind == "side" and self.chance(0.3):
            outer, inner = (
                self.pick(["far", "top", "bottom", "upper", "lower", "front", "back"]),
                self.pick(["left", "right"]),
            )
            return [
                Node(
                    inner,
                    "JJ",
                    "amod",
                    left=[Node(outer, "RB" if outer == "far" else "JJ", "advmod" if outer == "far" else "amod")],
                )
            ]
        if kind == "colour" and self.chance(0.1):
            return [
                Node(
                    self.pick(_COLOURS),
                    "JJ",
                    "amod",
                    right=[Node("and", "CC", "cc"), Node(self.pick(_COLOURS), "JJ", "conj")],
                )
            ]
        if kind == "superlative" and self.chance(0.12):
            return [
                Node(
                    self.pick(["expensive", "visible", "colorful"]), "JJ", "amod", left=[Node("most", "RBS", "advmod")]
                )
            ]
        words = {
            "colour": _COLOURS,
            "side": _SIDES,
            "superlative": _SUPERLATIVES,
            "ordinal": _ORDINALS,
            "comparative": _COMPARATIVES,
        }.get(kind, _QUALITIES)
        word = self.pick(words)
        return [Node(word, _adjective_tag(word), "amod")]

    # --- places and relations

    def place(self, head: Node | None) -> Node:
        """A place in the picture: "on the far left", "in the top right corner", "at the bottom of the picture"."""
        if head is not None and head.left and head.left[-1].text in _ORDINALS and self.chance(0.7):
            return self.prep("from", self.side_noun(), 0.6)
        kind = self.rng.randrange(6)
        if kind == 0:
            return self.prep(self.pick(["in", "at", "on"]), self.corner(), 0.8)
        if kind == 1:
            part = self.side_noun()
            part.with_(
                self.prep(
                    "of", Node(self.pick(["picture", "image", "photo", "screen", "frame", "group", "row"]), "NN"), 0.75
                )
            )
            return self.prep(self.pick(["on", "at", "in", "to"]), part, 0.8)
        if kind == 2:
            return self.prep(
                "in",
                Node(
                    self.pick(["front", "back", "background", "foreground", "middle", "center", "distance", "rear"]),
                    "NN",
                ),
                0.6,
            )
        if kind == 3 and self.chance(0.5):
            return self.prep("from", self.side_noun(), 0.6)
        return self.prep(self.pick(["on", "on", "on", "at", "in", "to"]), self.side_noun(), 0.6)

    def side_noun(self) -> Node:
        kind = self.rng.random()
        word = self.pick(["left", "right", "left", "right", "top", "bottom", "middle", "center"])
        if kind < 0.2:
            return Node(
                self.pick(["side", "end", "edge", "half", "part", "corner"]), "NN", left=[Node(word, "JJ", "amod")]
            )
        noun = Node(word, "NN")
        if kind < 0.4:
            noun.left.append(
                Node(self.pick(["far", "very", "extreme", "top", "bottom", "upper", "lower"]), "JJ", "amod")
            )
        return noun

    def corner(self) -> Node:
        corner = Node("corner", "NN")
        corner.left = [
            Node(self.pick(["top", "bottom", "upper", "lower"]), "JJ", "amod"),
            Node(self.pick(["left", "right"]), "JJ", "amod"),
        ]
        return corner

    def side_words(self) -> Node:
        """Elliptic places: "top left", "far right", "bottom right corner", "left side"."""
        if self.chance(0.3):
            return self.corner()
        noun = self.side_noun()
        return (
            noun if noun.left else Node(noun.text, "NN", left=[Node(self.pick(["far", "top", "bottom"]), "JJ", "amod")])
        )

    def bare_place(self, head: Node | None) -> Node:
        """A place without preposition: "guy left", "cup top right", "dog far left"."""
        word = Node(self.pick(["left", "right", "left", "right", "top", "bottom"]), "RB", "advmod")
        if self.chance(0.35):
            word.left.append(Node(self.pick(["far", "top", "bottom", "upper", "lower"]), "RB", "advmod"))
        return word

    def relation(self, head: Node | None) -> Node:
        """A relation to another object: "left of the dog", "between the dog and the cat", "next to a tree"."""
        other = self.landmark()
        kind = self.rng.choices(range(8), [20, 14, 12, 8, 10, 24, 6, 6])[0]
        if kind == 0:
            side = Node(self.pick(["left", "right"]), "RB", "advmod")
            if self.chance(0.15):
                side.left.append(Node(self.pick(["just", "directly", "immediately"]), "RB", "advmod"))
            return side.with_(Node(self.rng.choices(["of", "to"], [9, 1])[0], "IN", "prep", right=[other.as_("pobj")]))
        if kind == 1:
            side = Node(self.pick(["left", "right", "left side", "right side"]), "NN")
            if " " in side.text:
                side = Node("side", "NN", left=[Node(side.text.split()[0], "JJ", "amod")])
            return self.prep(self.pick(["to", "to", "on", "at"]), side.with_(self._of(other)), 0.85)
        if kind == 2:
            return Node(
                self.pick(["next", "next", "close", "closest", "closer", "nearest", "adjacent"]), "RB", "advmod"
            ).with_(self._to(other))
        if kind == 3:
            other.with_(Node("and", "CC", "cc"), self.noun_phrase(0.85).as_("conj"))
            return Node("between", "IN", "prep", right=[other.as_("pobj")])
        if kind == 4:
            phrase, word = self.pick(["on top", "in front", "in back", "on bottom"]).split()
            return Node(phrase, "IN", "prep", right=[Node(word, "NN", "pobj", right=[self._of(other)])])
        if kind == 6:
            return self._compared(other)
        marker = Node(self.pick(_SIMPLE_RELATIONS), "IN", "prep", right=[other.as_("pobj")])
        if self.chance(0.15):  # "right behind the dog": here `right` is no side
            marker.left.append(Node(self.pick(["right", "directly", "just", "right"]), "RB", "advmod"))
        return marker

    def _of(self, other: Node) -> Node:
        return Node("of", "IN", "prep", right=[other.as_("pobj")])

    def _to(self, other: Node) -> Node:
        return Node("to", "IN", "prep", right=[other.as_("pobj")])

    def _compared(self, other: Node) -> Node:
        if self.chance(0.4):
            return Node(self.pick(["farthest", "furthest", "away"]), "RB", "advmod").with_(
                Node("from", "IN", "prep", right=[other.as_("pobj")])
            )
        word = Node(self.pick(_COMPARATIVES), "JJR", "amod")
        return word.with_(Node("than", "IN", "prep", right=[other.as_("pobj")]))

    def landmark(self) -> Node:
        other = self.noun_phrase(0.85)
        if self.chance(0.12):
            other.with_(self.place(None) if self.chance(0.5) else self.attribute(None))
        return other

    def beside_word(self, head: Node | None) -> Node:
        """Parts and groups: "slice of pizza", "back of the cow", "number 12"."""
        return self._of(self.noun_phrase(0.5))

    # --- attributes and actions

    def attribute(self, head: Node | None) -> Node:
        """ "in blue shirt", "with a red hat", "in black", "without a collar"."""
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.prep("in", Node(self.pick(_COLOURS), "NN"), 0.0)
        if kind == 1:
            return Node(self.pick(["with", "without", "with"]), "IN", "prep", right=[self.part()])
        return Node(self.pick(["in", "in", "with"]), "IN", "prep", right=[self.garment().as_("pobj")])

    def part(self) -> Node:
        word = self.pick(_PARTS)
        noun = Node(word, "NNS" if word in ("stripes", "spots", "glasses", "horns", "wheels") else "NN", "pobj")
        noun.left = [Node(self.pick(_COLOURS + _QUALITIES), "JJ", "amod")] if self.chance(0.5) else []
        if noun.tag == "NN" and self.chance(0.5):
            noun.left.insert(0, Node(self.pick(["a", "the", "his", "her"]), "DT", "det"))
            if noun.left[0].text in ("his", "her"):
                noun.left[0] = Node(noun.left[0].text, "PRP$", "poss")
        if self.chance(0.1):
            noun.right.append(Node(self.pick(["up", "down", "out"]), "RP", "prt"))
        return noun

    def garment(self) -> Node:
        word = self.pick(_CLOTHES)
        noun = Node(word, "NNS" if word in _PLURAL_CLOTHES else "NN")
        if self.chance(0.8):
            noun.left.append(Node(self.pick(_COLOURS), "JJ", "amod"))
        if noun.tag == "NN" and self.chance(0.4):
            noun.left.insert(0, Node(self.pick(["a", "the"]), "DT", "det"))
        if self.chance(0.1):
            noun.with_(
                Node("and", "CC", "cc"),
                Node(self.pick(_CLOTHES), "NN", "conj", left=[Node(self.pick(_COLOURS), "JJ", "amod")]),
            )
        return noun

    def action(self, head: Node | None) -> Node:
        """A participle: "holding an umbrella", "standing on the left", "facing us"."""
        word = self.pick(list(_ACTIONS))
        verb = Node(word, "VBG" if word.endswith("ing") else "VBN", "acl")
        kind = _ACTIONS[word]
        if kind == "object":
            verb.with_(self.landmark().as_("dobj"))
        elif kind == "clothes":
            verb.with_(self.garment().as_("dobj") if self.chance(0.8) else Node(self.pick(_COLOURS), "NN", "dobj"))
        elif kind == "facing":
            verb.with_(self._facing())
        elif kind == "particle":
            verb.with_(Node(self.pick(["over", "down"]), "RP", "prt"))
        elif kind == "prep":
            self._where(verb)
        return verb

    def done(self, head: Node | None) -> Node:
        """ "held by the girl", "filled with water"."""
        word = self.pick(list(_DONE))
        dep = "agent" if _DONE[word] == "by" else "prep"
        return Node(word, "VBN", "acl").with_(Node(_DONE[word], "IN", dep, right=[self.noun_phrase(0.8).as_("pobj")]))

    def _where(self, verb: Node) -> None:
        if verb.text == "looking" and self.chance(0.4):
            verb.with_(Node("at", "IN", "prep", right=[self.noun_phrase(0.8).as_("pobj")]))
            return
        if verb.text in ("looking", "walking") and self.chance(0.6):
            goal = Node(self.pick(["camera", "left", "right", "us", "phone"]), "NN")
            verb.with_(self.prep(self.pick(["at", "to", "toward", "towards"]), _us(goal), 0.4))
            return
        if self.chance(0.2):
            verb.with_(Node(self.pick(["up", "down"]), "RP", "prt"))
        if self.chance(0.85):
            verb.with_(self.place(None) if self.chance(0.4) else self.relation(None))

    def _facing(self) -> Node:
        word = self.pick(["us", "camera", "left", "right", "away", "away", "forward", "you", "me"])
        if word == "away" and self.chance(0.6):
            return Node(word, "RB", "advmod").with_(self.prep("from", Node("camera", "NN"), 0.9))
        if word in ("us", "you", "me"):
            return Node(word, "PRP", "dobj")
        if word == "camera":
            return Node(word, "NN", "dobj", left=[Node("the", "DT", "det")] if self.chance(0.5) else [])
        return Node(word, "RB", "advmod")

    def relative_clause(self, head: Node | None) -> Node:
        """ "that is not red", "who is holding a bat", "which is on the left", "that has stripes"."""
        plural = head is not None and head.tag == "NNS"
        subject = Node(self.pick(["that", "that", "which"]), "WDT", "nsubj")
        if head is not None and head.text in _PEOPLE and self.chance(0.6):
            subject = Node("who", "WP", "nsubj")
        be, be_tag = _VERBS_OF_BEING[plural]
        if self.chance(0.08):
            verb = self._does(Node("one", "NNS" if plural else "NN")).as_("relcl")
            verb.left = [subject]
            return verb
        kind = self.rng.choices(["adjective", "place", "action", "has", "noun"], [40, 22, 20, 12, 6])[0]
        if kind == "has":
            verb = Node("have" if plural else "has", "VBP" if plural else "VBZ", "relcl", left=[subject], pos="VERB")
            return verb.with_(self.part().as_("dobj"))
        negation = self._negation(0.5 if kind == "adjective" else 0.25)
        if kind == "action":
            verb = self.action(None).as_("relcl")
            verb.left[:0] = [subject, Node(be, be_tag, "aux"), *negation]
            return verb
        copula = Node(be, be_tag, "relcl", left=[subject], right=negation)
        if kind == "adjective":
            word = self.pick([*_COLOURS, *_COLOURS, *_QUALITIES, *_SUPERLATIVES])
            adjective = Node(word, _adjective_tag(word), "acomp")
            if _adjective_tag(word) == "JJS" and self.chance(0.6):
                adjective.left.append(Node("the", "DT", "det"))
            return copula.with_(adjective)
        if kind == "noun":
            return copula.with_(self.noun_phrase(1.0).as_("attr"))
        where = self.place(None) if self.chance(0.6) else self.relation(None)
        return copula.with_(where)

    def _negation(self, p: float) -> list[Node]:
        if not self.chance(p):
            return []
        return [Node(self.rng.choices(["not", "n't"], [4, 1])[0], "RB", "neg", pos="PART")]

    def prep(self, word: str, noun: Node, article: float) -> Node:
        """A preposition over a noun that takes "the" with the chance `article`."""
        if self.chance(article):
            noun.left.insert(0, Node("the", "DT", "det"))
        return Node(word, "IN", "prep", right=[noun.as_("pobj")])


def _us(goal: Node) -> Node:
    return Node(goal.text, "PRP") if goal.text == "us" else goal


def _adjective_tag(word: str) -> str:
    if word in ("leftmost", "rightmost") or (word.endswith("est") and word in _SUPERLATIVES):
        return "JJS"
    return "JJR" if word in _COMPARATIVES or word in ("older", "younger") else "JJ"


def _plural(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("s", "x", "ch", "sh", "tomato")):
        return word + "es"
    return word + "s"
