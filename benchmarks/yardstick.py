"""Seconds that an annotator spends for one mask: typing, waiting, reading, pointing, repainting. The constants are guesses, and printed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean

from benchmarks.simulated_annotator import RefinementLog


@dataclass(frozen=True)
class AnnotatorPace:
    """How fast an annotator is.

    Attributes:
        letters_s: Letters typed a second.
        words_s: Words read a second.
        point_s: Seconds to point at something and click on it.
        look_s: Seconds to see whether a mask is right.
        accept_s: Seconds to accept and submit by keys.
        repaint_s: Seconds to repaint a mask.
    """

    letters_s: float = 5.0
    words_s: float = 4.0
    point_s: float = 1.2
    look_s: float = 0.5
    accept_s: float = 0.6
    repaint_s: float = 25.0

    def to_text(self) -> str:
        """The constants, in one line."""
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items())


@dataclass(frozen=True)
class MaskEffort:
    """What one mask took.

    Attributes:
        text: What was typed.
        told: What was to be read.
        wait_s: How long the answer took.
        log: How the mask was reached.
        is_wrong: What was offered first is not the mask.
    """

    text: str
    told: str
    wait_s: float
    log: RefinementLog
    is_wrong: bool

    def split(self, pace: AnnotatorPace) -> dict[str, float]:
        """Seconds by what they went into."""
        asked = 1 + self.log.nexts
        return {
            "typing": (len(self.text) + 5 * self.log.nexts) / pace.letters_s,
            "waiting": asked * self.wait_s,
            "reading": len(self.told.split()) / pace.words_s,
            "looking": (asked + self.log.clicks) * pace.look_s,
            "pointing": self.log.clicks * pace.point_s,
            "repainting": pace.repaint_s * self.log.is_repainted,
            "accepting": pace.accept_s,
        }


def to_markdown(efforts: Sequence[MaskEffort], pace: AnnotatorPace = AnnotatorPace()) -> str:
    """Mean seconds of an accepted mask by what they went into, and how often the first answer was wrong with no word about it."""
    parts = [effort.split(pace) for effort in efforts]
    names = list(parts[0])
    means = {name: mean(part[name] for part in parts) for name in names}
    words = mean(len(effort.told.split()) for effort in efforts)
    silent = sum(effort.is_wrong and not effort.told for effort in efforts)
    needless = sum(bool(effort.told) and not effort.is_wrong for effort in efforts)
    rows = [
        f"| seconds a mask | {' | '.join(names)} |",
        "| --- |" + " --- |" * len(names),
        f"| {sum(means.values()):.1f} | {' | '.join(f'{means[name]:.2f}' for name in names)} |",
    ]
    share = 100 / len(efforts)
    return "\n\n".join(
        [
            "\n".join(rows),
            f"{words:.1f} words are told for a mask. Of 100 masks {silent * share:.1f} are wrong and nothing is told, "
            f"{needless * share:.1f} are right and something is told. With: {pace.to_text()}.",
        ]
    )
