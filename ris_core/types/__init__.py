"""The values of the method (frozen, numpy, parallel arrays on the N proposals) and the protocols of its components."""

from ris_core.language.expression import Expression
from ris_core.types.encoded_image import EncodedImage
from ris_core.types.image import Image
from ris_core.types.prediction import NO_CHANCE, Decision, Prediction, Scores
from ris_core.types.proposals import Proposals

__all__ = ["NO_CHANCE", "Decision", "EncodedImage", "Expression", "Image", "Prediction", "Proposals", "Scores"]
