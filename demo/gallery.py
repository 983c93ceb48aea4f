"""The demo's scenes: what is put into Label Studio, an expression to try on each, and what it refers to."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from demo.scenes import make_scene


@dataclass(frozen=True)
class Exhibit:
    """A scene with an expression.

    Attributes:
        seed: Of the scene; below one million, so it was never trained on.
        targets: Indices of the objects that the expression refers to.
    """

    seed: int
    expression: str
    targets: tuple[int, ...]

    @property
    def file_name(self) -> str:
        """Name of the scene's picture."""
        return f"scene-{self.seed:03}.png"

    def draw(self) -> bytes:
        """The scene as a PNG file."""
        buffer = io.BytesIO()
        Image.fromarray(make_scene(self.seed).image).save(buffer, "PNG")
        return buffer.getvalue()

    def truth(self) -> np.ndarray:
        """bool (H, W): the pixels that the expression refers to."""
        objects = make_scene(self.seed).objects
        return np.logical_or.reduce([objects[i].mask for i in self.targets])


GALLERY = (
    Exhibit(32, "the orange frog left of the tree", (2,)),
    Exhibit(38, "the third fish from the left", (5,)),
    Exhibit(24, "the crab that is not blue", (4,)),
    Exhibit(41, "the red turtle", (5,)),
    Exhibit(29, "the yellow cat left of the crab", (1,)),
    Exhibit(36, "the orange fish", (0,)),
    Exhibit(25, "the blue fish right of the carrot", (5,)),
    Exhibit(18, "the green book", (5,)),
    Exhibit(26, "the orange turtle left of the boat", (4,)),
    Exhibit(1, "the blue cat", (1,)),
    Exhibit(2, "the black crab", (2,)),
    Exhibit(8, "the biggest airplane", (1,)),
)
"""The first is checked when the demo starts; the first three are suggested to the user."""
