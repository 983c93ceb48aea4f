"""Zero-shot referring image segmentation: mask proposals, chosen by CLIP and by the words of an expression.

segmenter = load_segmenter("demo")
encoded = segmenter.encode(Image.open("scene.png"))
prediction = segmenter.segment(encoded, "the red apple left of the dog")
"""

from ris_core.profiles import load_segmenter
from ris_core.types import EncodedImage, Expression, Image, Prediction, Proposals, Scores

__all__ = ["EncodedImage", "Expression", "Image", "Prediction", "Proposals", "Scores", "load_segmenter"]
