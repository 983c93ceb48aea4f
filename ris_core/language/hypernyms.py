"""What kinds of things common nouns are: "tree" is a plant. For labels that name a kind."""

from collections.abc import Mapping

from ris_core.language import lexicon

_KINDS = {
    "person people human": (
        "person man woman boy girl child kid baby guy lady player batter pitcher catcher skier surfer rider driver worker "
        "pedestrian cyclist adult teenager bride groom chef umpire referee soldier policeman"
    ),
    "animal": (
        "animal dog cat bird horse cow sheep goat pig elephant bear zebra giraffe lion tiger monkey ape rabbit mouse deer fox wolf "
        "fish shark whale dolphin crab octopus frog turtle snake lizard snail butterfly bee ant spider duck goose chicken owl "
        "penguin parrot eagle puppy kitten calf lamb pony donkey camel kangaroo panda squirrel"
    ),
    "vehicle transport": (
        "vehicle car bus truck van taxi train tram bike bicycle motorcycle motorbike scooter boat ship plane airplane helicopter "
        "rocket tractor trailer ambulance suv jeep limousine carriage wagon canoe kayak"
    ),
    "plant vegetation": "plant tree bush shrub flower grass cactus fern ivy moss palm rose tulip hedge leaf weed mushroom vine",
    "fruit": "fruit apple banana orange lemon lime pear peach plum grape strawberry cherry melon pineapple mango kiwi tomato",
    "vegetable": "vegetable carrot potato tomato onion broccoli cabbage lettuce pepper cucumber corn bean pea mushroom pumpkin",
    "food": (
        "food apple banana orange lemon grape strawberry carrot broccoli tomato mushroom pizza sandwich burger hamburger cake donut bread "
        "cheese egg meat sausage pasta rice soup salad cookie cereal hotdog fries pie"
    ),
    "furniture": "furniture chair table couch sofa bed desk bench stool shelf cupboard cabinet wardrobe dresser armchair bookcase",
    "clothing clothes garment": (
        "clothing shirt jacket coat dress skirt trousers jeans shorts hat cap helmet shoe boot sock glove scarf tie suit sweater hoodie"
    ),
    "building": "building house tower church barn shed garage castle skyscraper hut cottage school shop store station bridge",
    "tool": "tool hammer saw drill wrench screwdriver scissors knife axe shovel rake key pencil pen brush",
    "container": "container bottle cup glass mug bowl box bag backpack suitcase basket bucket can jar vase pot pan",
    "electronics device": "device laptop computer phone camera television tv monitor keyboard tablet remote radio printer robot clock",
    "toy": "toy ball balloon doll teddy kite frisbee puzzle robot",
}
HYPERNYMS: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split()) for names, words in _KINDS.items() for name in names.split()
}
"""The nouns of a kind, by the names of the kind; all in the singular."""


def is_kind_of(noun: str, kind: str) -> bool:
    """Whether a noun is of a kind, as far as this short list tells. Both in any number and spelling."""
    return _fold(noun) in HYPERNYMS.get(_fold(kind), frozenset())


def _fold(word: str) -> str:
    return lexicon.singular(lexicon.spelled(word.lower().strip()))
