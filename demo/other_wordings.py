"""Wordings of the other expressions, by what they say; the gaps are filled by `demo.other_expressions`.

Gaps: n a name, ns its plural, b and d names of other things, c a colour, o an ordinal, s a side, k a number, x and y sides.
"""

NUMBERS = ("first", "second", "third", "fourth")
PICTURED = {2: "two", 3: "three", 4: "four", 5: "five"}
CLOSE_COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("pink", "orange", "brown", "purple"), "orange": ("red", "yellow", "brown", "pink"),
    "yellow": ("orange", "green", "brown"), "green": ("yellow", "blue"), "blue": ("purple", "green"),
    "purple": ("pink", "blue", "red"), "pink": ("red", "purple", "orange"), "brown": ("orange", "red", "black", "yellow"),
    "black": ("gray", "brown"), "white": ("gray",), "gray": ("white", "black"),
}  # fmt: skip
"""Colours that somebody may take for the first."""
LOOKALIKES: dict[str, tuple[str, ...]] = {
    "car": ("truck", "bus"), "truck": ("car", "bus"), "bus": ("car", "truck", "train"), "train": ("bus",),
    "apple": ("tomato", "lemon"), "tomato": ("apple",), "lemon": ("apple",), "tree": ("cactus",), "cactus": ("tree",),
    "cake": ("strawberry",), "strawberry": ("tomato",), "house": ("tree",), "hamburger": ("tomato",), "pizza": ("tomato",),
    "rocket": ("airplane",),
    "airplane": ("rocket",), "duck": ("penguin",), "penguin": ("duck",), "gift": ("backpack",), "cow": ("pig",), "pig": ("cow",),
    "cat": ("lion",), "lion": ("cat",), "hat": ("backpack",), "snail": ("turtle",),
}  # fmt: skip
"""Nouns that might be seen in, or taken for, a thing of the first."""
_AT = {
    "left": ("on the left", "left", "leftmost", "furthest left"),
    "right": ("on the right", "right", "rightmost", "furthest right"),
    "top": ("at the top", "top", "topmost", "highest up"),
    "bottom": ("at the bottom", "bottom", "bottommost", "lowest down"),
}


def _of_a_side(side: str) -> dict[str, tuple[str, ...]]:
    at, plain, most, furthest = _AT[side]
    far = f"on the far {side}" if side in ("left", "right") else f"at the very {side}"
    return {
        f"on {side}": (
            f"the {{n}} {at}", f"the {{n}} {at} of the picture", f"{{n}} {at}", f"the {{n}} that is {at}",
            f"the {{n}} over {at}" if side in ("left", "right") else f"the {{n}} up {at}" if side == "top" else f"the {{n}} down {at}",
        ),
        f"side {side}": (
            f"the {plain} {{n}}", f"{plain} {{n}}", f"the {{n}} {at}", f"{{n}} {at}", f"the {{n}} {furthest}",
            f"the {{n}} that is {furthest}", f"the {most} {{n}}",
        ),
        f"most {side}": (
            f"the {most} {{n}}", f"{most} {{n}}", f"the {{n}} {furthest}", f"{{n}} {far}", f"the {{n}} {far}",
            f"the {{n}} that is {furthest} of all",
        ),
        f"all {side}": (
            f"the {{ns}} {at}", f"all the {{ns}} {at}", f"all {{ns}} {at} of the picture", f"every {{n}} {at}",
            f"{{ns}} {at}",
        ),
        f"not {side}": (
            f"the {{n}} that is not {at}", f"the {{n}} not {at}", f"the {{n}} which isn't {at}",
            f"not the {{n}} {at}, the other one", f"{{n}} that's not {at}",
        ),
    }  # fmt: skip


WORDINGS: dict[str, tuple[str, ...]] = {
    "noun": ("the {n}", "{n}", "a {n}", "the {n} in the picture", "where is the {n}", "the only {n}", "that {n}"),
    "attribute": (
        "the {c} {n}", "{c} {n}", "the {n} that is {c}", "the {c}-coloured {n}",
        "the {n} which is {c}", "the {n} with the {c} color",
    ),
    "coloured thing": ("the {c} thing", "the thing that is {c}", "the {c} object", "something {c}", "the only {c} thing"),
    "corner": (
        "the {n} in the {y} {x} corner", "{n} at the {y} {x}", "{y} {x} {n}", "the {n} in the {y} {x}",
        "the {y} {x} {n}", "the {n} in the corner at the {y} {x}",
    ),
    "middle": (
        "the {n} in the middle", "the middle {n}", "middle {n}", "{n} in the center", "the {n} in the middle of the three",
        "the central {n}",
    ),
    "left": (
        "the {n} left of the {b}", "the {n} to the left of the {b}", "{n} left of {b}", "the {n} on the left of the {b}",
        "the {n} that is to the left of the {b}", "the {n} on the left side of the {b}",
    ),
    "right": (
        "the {n} right of the {b}", "the {n} to the right of the {b}", "{n} right of {b}", "the {n} on the right of the {b}",
        "the {n} that is to the right of the {b}", "the {n} on the right side of the {b}",
    ),
    "above": (
        "the {n} above the {b}", "{n} above {b}", "the {n} over the {b}", "the {n} that is above the {b}",
        "the {n} higher than the {b}",
    ),
    "below": (
        "the {n} below the {b}", "{n} under the {b}", "the {n} underneath the {b}", "the {n} beneath the {b}",
        "the {n} that is below the {b}", "the {n} lower than the {b}",
    ),
    "near": (
        "the {n} next to the {b}", "the {n} by the {b}", "{n} beside the {b}", "the {n} close to the {b}",
        "the {n} right next to the {b}", "{n} near {b}", "the {n} near the {b}",
    ),
    "closest": (
        "the {n} closest to the {b}", "the {n} nearest to the {b}", "{n} nearest the {b}", "the closest {n} to the {b}",
        "the {n} that is closest to the {b}",
    ),
    "behind": (
        "the {n} behind the {b}", "{n} behind {b}", "the {n} that is behind the {b}", "the {n} partly hidden by the {b}",
        "the {n} partly covered by the {b}",
    ),
    "in front": (
        "the {n} in front of the {b}", "{n} in front of {b}", "the {n} that is in front of the {b}",
        "the {n} covering part of the {b}", "the {n} standing in front of the {b}",
    ),
    "between": (
        "the {n} between the {b} and the {d}", "{n} between {b} and {d}", "the {n} that is between the {d} and the {b}",
        "the {n} in between the {b} and the {d}", "the {n} standing between the {d} and the {b}",
    ),
    "between two": (
        "the {n} between the two {b}", "{n} between the {b}", "the {n} in between the {b}", "the {n} in the middle of the two {b}",
    ),
    "biggest": (
        "the biggest {n}", "biggest {n}", "the largest {n}", "the biggest of the {ns}", "the {n} that is the largest",
        "the biggest {n} of all",
    ),
    "biggest of two": (
        "the bigger {n}", "bigger {n}", "the larger {n}", "the big {n}", "the biggest {n}", "the larger of the two {ns}",
    ),
    "smallest": (
        "the smallest {n}", "smallest {n}", "the tiniest {n}", "the smallest of the {ns}", "the {n} that is the smallest",
    ),
    "smallest of two": (
        "the smaller {n}", "smaller {n}", "the small {n}", "the little {n}", "the smallest {n}", "the smaller of the two {ns}",
    ),
    "tallest": ("the tallest {n}", "tallest {n}", "the {n} that is tallest", "the tallest of the {ns}"),
    "ordinal": (
        "the {o} {n} from the {s}", "{o} {n} from the {s}", "the {n} that is {o} from the {s}", "{n} {o} from {s}",
        "the {o} {n} counting from the {s}", "from the {s}, the {o} {n}",
    ),
    "both": ("both {ns}", "the two {ns}", "both of the {ns}", "the {ns}", "all {ns}", "every {n}"),
    "all": ("all {ns}", "the {ns}", "all the {ns}", "every {n}", "all of the {ns}", "{ns}", "each {n}", "the {k} {ns}"),
    "not coloured": (
        "the {n} that is not {c}", "the {n} that isn't {c}", "{n} not {c}", "the non-{c} {n}", "the {n} which is not {c}",
    ),
    "not near": (
        "the {n} that is not next to the {b}", "the {n} not near the {b}", "the {n} which is not by the {b}",
        "the {n} away from the {b}",
    ),
    "absent": ("the {n}", "{n}", "a {n}", "the {n} in the picture", "where is the {n}"),
    "wrong colour": ("the {c} {n}", "{c} {n}", "the {n} that is {c}", "the {c}-coloured {n}"),
    **_of_a_side("left"), **_of_a_side("right"), **_of_a_side("top"), **_of_a_side("bottom"),
}  # fmt: skip
