"""What the automatic mask generation of the `segment_anything` package asks, answered without work that it throws away."""

from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor

from ris_core.proposers import _prompting


class Predictor(SamPredictor):  # type: ignore[misc]  # segment_anything has no type hints
    """The stock predictor, but what is known already is not computed, and what is dropped is not enlarged.

    Enlarging masks that the generator is about to drop for their predicted IoU is most of the time of the generation on
    a CPU; the proposals are the same.

    Attributes:
        whole: What the image encoder says of the next image that is set; None to ask it.
    """

    def __init__(self, net: Sam, pred_iou_thresh: float) -> None:
        super().__init__(net)
        self.pred_iou_thresh = pred_iou_thresh
        self.whole: Tensor | None = None

    def set_torch_image(self, transformed_image: Tensor, original_image_size: tuple[int, ...]) -> None:
        """Take an image; the generator begins with the whole one and goes on with its crops."""
        if self.whole is None:
            super().set_torch_image(transformed_image, original_image_size)
            return
        self.original_size, self.input_size = original_image_size, tuple(transformed_image.shape[-2:])
        self.features, self.whole, self.is_image_set = self.whole, None, True

    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mask logits (B, 3, H, W), predicted IoU (B, 3), logits at the decoder's resolution (B, 3, h, w)."""
        points = None if point_coords is None or point_labels is None else (point_coords, point_labels)
        logits, predicted_iou = _prompting.decode(
            self.model, self.features, points, boxes, mask_input, multimask_output
        )
        kept = (predicted_iou > self.pred_iou_thresh) | (self.pred_iou_thresh == 0)  # as the generator does
        enlarged = logits.new_empty(*logits.shape[:2], *self.original_size)
        if kept.any():
            small = logits[kept][:, None]
            enlarged[kept] = self.model.postprocess_masks(small, self.input_size, self.original_size)[:, 0]
        return enlarged, predicted_iou, logits
