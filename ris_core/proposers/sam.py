"""SAM asked at a grid of points: class-agnostic proposals, told apart by the overlap of their masks; or at clicks and boxes.

Source: [0] Kirillov et al., "Segment Anything", ICCV 2023, appendices A and B; [1] the `segment_anything` package, whose
models and automatic mask generation are used; what is computed in another order is in the modules beside this. Its box suppression
drops nested masks of similar boxes, so it is only used to drop near copies, and masks are compared here; with quirk Q-NMS it has
the last word, as in published methods.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.modeling import Sam
from segment_anything.utils.amg import calculate_stability_score
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from ris_core.arrays import Array
from ris_core.behaviour import ENCODE_BEHAVIOUR
from ris_core.errors import BadInput, UnknownName
from ris_core.proposers import _grid_decoder, _image_attention, _logit_filters, _prompting
from ris_core.proposers._filters import clean, keep_distinct, to_proposals
from ris_core.proposers._logit_filters import Frame, Limits
from ris_core.proposers._mobile_sam import build_mobile_sam
from ris_core.proposers._predictor import Predictor
from ris_core.proposers._tiny_sam import build_tiny_sam
from ris_core.runtime.devices import check_precision, computing_in, pick_device
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals
from ris_core.types.prompts import PromptEmbedding, Prompts

ARCHITECTURES: Mapping[str, Callable[[], Sam]] = {
    "tiny": build_tiny_sam,
    "mobile": build_mobile_sam,
    **{name: sam_model_registry[name] for name in ("vit_b", "vit_l", "vit_h")},
}
"""What makes a network of each architecture, with random weights."""
QUIRKS = {
    "Q-NMS": "suppress masks by their boxes, in SAM's own order, unchanged ones first, not by the masks' own overlap",
    "Q-MINAREA": "measure holes and islands in pixels of the image and keep small masks, not as a share of it and drop them",
}
"""Behaviours of the published methods that can be switched on, and what is done otherwise."""
EMBEDDING = "array"
"""Name of the image encoder's output in an embedding."""
CPU_POINTS = 2
"""Points that go through the decoder at once on a CPU with `filter_logits`; more do not fit its caches and take longer."""
MAY_BE_0 = frozenset({"crop_n_layers", "min_mask_region_area", "stability_score_offset"})


class SamProposer:
    """Proposals by SAM's automatic mask generation, and masks of what is pointed at.

    Args:
        store: Where the weights are.
        weights: Name of the weights.
        architecture: A key of `ARCHITECTURES`.
        points_per_side: The image is asked at this many times this many points; three masks each.
        pred_iou_thresh: Least IoU with an object that SAM itself expects, in [0, 1].
        stability_score_thresh: Least IoU of a mask with itself when its threshold is shifted, in [0, 1].
        box_nms_thresh: Masks whose boxes overlap more than this IoU are copies.
        min_area_ratio: Holes, islands and whole masks smaller than this share of the image are dropped.
        max_mask_iou: Of masks that overlap more than this IoU the best is kept; with Q-NMS only of those pointed at.
        device: A torch device, or "auto" for a GPU if there is one.
        points_per_batch: How many points go through the model at once.
        stability_score_offset: How far the threshold is shifted, in logits.
        crop_n_layers: Layers of zoomed-in crops that are asked as well.
        crop_n_points_downscale_factor: How many times fewer points a side each of these layers has than the one before.
        max_proposals: How many proposals to keep at most, the best first.
        min_mask_region_area: With Q-MINAREA, holes and islands of fewer pixels are dropped, but never a whole mask.
        work_px: Masks are made at this long side at most, by default SAM's own; larger images are scaled down to it and
            their masks back up.
        quirks: Behaviours of the published methods to reproduce, keys of `QUIRKS`.
        filter_logits: Filter masks as the decoder's logits, and enlarge only those that are kept. False filters them at the
            image's size, as the package does; crops and quirks need that.
        precision: "fp32", or "bf16": products of the image encoder in bfloat16, which GPUs do several times faster. The decoder and
            the masks stay in float32.

    Raises:
        UnknownName: If there is no such architecture or quirk.
        WeightsMissing: If the weights are not here and cannot be downloaded.
        BadInput: If the weights are of another architecture, or a setting is out of range.
    """

    def __init__(
        self,
        store: WeightStore,
        weights: str,
        architecture: str,
        points_per_side: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        box_nms_thresh: float,
        min_area_ratio: float,
        max_mask_iou: float,
        device: str = "cpu",
        points_per_batch: int = 64,
        stability_score_offset: float = 1.0,
        crop_n_layers: int = 0,
        crop_n_points_downscale_factor: int = 1,
        max_proposals: int = 100,
        min_mask_region_area: int = 800,
        work_px: int = 1024,
        quirks: Sequence[str] = (),
        filter_logits: bool = False,
        precision: str = "fp32",
    ) -> None:
        runs_on = pick_device(device)
        asks = {
            "points_per_side": points_per_side,
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "stability_score_offset": stability_score_offset,
            "box_nms_thresh": box_nms_thresh,
            "crop_n_layers": crop_n_layers,
            "crop_n_points_downscale_factor": crop_n_points_downscale_factor,
        }
        keeps = {
            "min_area_ratio": min_area_ratio,
            "min_mask_region_area": min_mask_region_area,
            "max_mask_iou": max_mask_iou,
            "max_proposals": max_proposals,
        }
        _check(asks | keeps | {"work_px": work_px}, quirks)
        if filter_logits and (quirks or crop_n_layers):
            raise BadInput(
                f"filter_logits is true, quirks is {list(quirks)} and crop_n_layers is {crop_n_layers}.",
                "Leave quirks and crops out, or set filter_logits to false.",
            )
        self.net = _load(architecture, store.locate(weights)).to(runs_on).eval()
        self.generator = SamAutomaticMaskGenerator(self.net, points_per_batch=points_per_batch, **asks)
        self.generator.predictor = Predictor(self.net, pred_iou_thresh)
        self.min_area_ratio, self.min_mask_region_area = min_area_ratio, min_mask_region_area
        self.max_mask_iou, self.max_proposals, self.work_px = max_mask_iou, max_proposals, work_px
        self.quirks, self.filter_logits = frozenset(quirks), filter_logits
        self.precision = check_precision(precision)
        sees = {"component": "sam", "architecture": architecture, "digest": store.digest(weights), "work_px": work_px}
        # Both without the name otherwise: what was encoded before the settings came stays valid.
        sees |= {} if precision == "fp32" else {"precision": precision}
        embeds = {**sees, "behaviour": ENCODE_BEHAVIOUR}
        self.embed_fp = hashlib.sha256(json.dumps(embeds, sort_keys=True).encode()).hexdigest()[:16]
        self.fingerprint = {"weights": weights, **sees, **asks, **keeps, "quirks": sorted(quirks)}
        self.fingerprint |= {"filter_logits": True} if filter_logits else {}
        self._seen: tuple[str, Tensor] | None = None

    @property
    def batch_size(self) -> int:
        """How many points go through the model at once."""
        return int(self.generator.points_per_batch)

    @batch_size.setter
    def batch_size(self, points: int) -> None:
        self.generator.points_per_batch = points

    def propose(self, image: Image) -> Proposals:
        """Proposals, the best first (with Q-NMS in SAM's order); none if SAM finds none or the image is too thin to see."""
        work_hw = self._work_hw(image.size_hw)
        if not self._can_see(work_hw) or min(work_hw) < 4**self.generator.crop_n_layers:
            return to_proposals([], image.size_hw)
        if self.filter_logits:
            return to_proposals(self._find(image, work_hw), image.size_hw)
        smallest, boxes_decide = self._smallest_region(work_hw, image.size_hw), "Q-NMS" in self.quirks
        self.generator.min_mask_region_area = smallest if boxes_decide else 0
        self.generator.predictor.whole = self._see(image)
        records = [
            clean(record, 0.0 if boxes_decide else smallest) for record in self.generator.generate(self._shrink(image))
        ]
        least = 1 if "Q-MINAREA" in self.quirks else max(1, smallest)
        records = [record for record in records if record["area"] >= least]
        if not boxes_decide:
            quality = [record["predicted_iou"] * record["stability_score"] for record in records]
            records = keep_distinct(records, quality, self.max_mask_iou)
        return to_proposals(records[: self.max_proposals], image.size_hw)

    @torch.no_grad()
    def _find(self, image: Image, work_hw: tuple[int, int]) -> list[dict[str, Any]]:
        """Records of the proposals, filtered at the size of the logits."""
        seen_hw, generator = self._seen_hw(work_hw), self.generator
        side = _grid_decoder.prepare(self.net, self._see(image))
        grid = torch.as_tensor(generator.point_grids[0] * seen_hw[::-1], dtype=torch.float32, device=self.net.device)
        at_once = min(self.batch_size, CPU_POINTS) if self.net.device.type == "cpu" else self.batch_size
        batches = (
            _grid_decoder.decode(self.net, side, points, generator.pred_iou_thresh) for points in grid.split(at_once)
        )
        limits = Limits(
            generator.stability_score_thresh,
            generator.stability_score_offset,
            generator.box_nms_thresh,
            self.max_mask_iou,
            self.max_proposals,
            self._smallest_region(work_hw, image.size_hw),
        )
        return _logit_filters.find(self.net, batches, Frame.of(self.net, seen_hw, work_hw), limits)

    def embed(self, image: Image) -> PromptEmbedding:
        """What `mask` needs of an image. The image encoder runs once if an image is embedded and proposed in a row.

        An image that is too thin for SAM to see has an embedding of zeros.
        """
        if self._can_see(self._work_hw(image.size_hw)):
            array = self._see(image)[0].to("cpu", torch.float16).numpy()
        else:
            encoder = self.net.prompt_encoder
            array = np.zeros((encoder.embed_dim, *encoder.image_embedding_size), np.float16)
        return PromptEmbedding(image.sha256, image.size_hw, {EMBEDDING: array}, self.embed_fp)

    @torch.no_grad()
    def mask(self, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
        """What is pointed at, cleaned as proposals are: up to three candidates for a single click, else one at most.

        The candidate comes first whose IoU SAM expects to be highest.

        Raises:
            BadInput: If the embedding was made by other weights, or in another way; if a mask is given that is not of the image's
                size.
        """
        _prompting.check(embedding, prompts, self.embed_fp)
        work_hw = self._work_hw(embedding.size_hw)
        if not self._can_see(work_hw):
            return to_proposals([], embedding.size_hw)
        smallest = self._smallest_region(work_hw, embedding.size_hw)
        records = [clean(record, smallest) for record in self._answer(embedding, prompts, work_hw)]
        quality = [record["predicted_iou"] for record in records]
        return to_proposals(keep_distinct(records, quality, self.max_mask_iou), embedding.size_hw)

    def _answer(
        self, embedding: PromptEmbedding, prompts: Prompts, work_hw: tuple[int, int]
    ) -> Iterator[dict[str, Any]]:
        """The masks that are not empty, as records like those of the generator."""
        seen_hw = self._seen_hw(work_hw)
        features = torch.from_numpy(embedding.arrays[EMBEDDING])[None].float().to(self.net.device)
        scale_xy = np.divide(seen_hw, embedding.size_hw)[::-1]
        before = None if prompts.mask is None else _prompting.to_logits(self.net, prompts.mask, seen_hw)
        decode = partial(_prompting.decode, self.net, features)
        small, predicted_iou = _prompting.answer(decode, prompts, scale_xy, before, self.net.device)
        [logits] = self.net.postprocess_masks(small, seen_hw, work_hw)
        threshold = self.net.mask_threshold
        stability = calculate_stability_score(logits, threshold, self.generator.stability_score_offset)
        for mask, iou, stable in zip((logits > threshold).cpu().numpy(), predicted_iou[0], stability, strict=True):
            if mask.any():
                yield {"segmentation": mask, "predicted_iou": float(iou), "stability_score": float(stable)}

    def _see(self, image: Image) -> Float[Tensor, "1 c y x"]:
        """What the image encoder says of an image; remembered until there is another."""
        if self._seen is None or self._seen[0] != image.sha256:
            predictor = SamPredictor(self.net)
            is_exact = self.precision == "fp32"
            with contextlib.nullcontext() if is_exact else computing_in(self.precision, self.net.device):
                predictor.set_image(self._shrink(image))
            self._seen = image.sha256, predictor.features.float()
        return self._seen[1]

    def _can_see(self, work_hw: tuple[int, int]) -> bool:
        """No side of the image shrinks to nothing."""
        return min(self._seen_hw(work_hw)) >= 1

    def _seen_hw(self, work_hw: tuple[int, int]) -> tuple[int, int]:
        """The size at which the image encoder sees an image."""
        size_hw: tuple[int, int] = ResizeLongestSide.get_preprocess_shape(*work_hw, self.net.image_encoder.img_size)
        return size_hw

    def _shrink(self, image: Image) -> UInt8[Array, "y x 3"]:
        """The image's pixels at the size at which its masks are made."""
        work_hw = self._work_hw(image.size_hw)
        if work_hw == image.size_hw:
            return image.pixels
        return cv2.resize(image.pixels, work_hw[::-1], interpolation=cv2.INTER_AREA)

    def _work_hw(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The size at which masks of an image are made."""
        scale = min(1.0, self.work_px / max(size_hw))
        height, width = (max(1, round(side * scale)) for side in size_hw)
        return height, width

    def _smallest_region(self, work_hw: tuple[int, int], size_hw: tuple[int, int]) -> float:
        """The least area of holes and islands, in pixels of the size at which masks are made."""
        work_area = work_hw[0] * work_hw[1]
        if "Q-MINAREA" in self.quirks:
            return self.min_mask_region_area * work_area / (size_hw[0] * size_hw[1])
        return self.min_area_ratio * work_area


def _check(settings: Mapping[str, float | int], quirks: Sequence[str]) -> None:
    unknown = sorted(set(quirks) - set(QUIRKS))
    if unknown:
        raise UnknownName(f"The proposer 'sam' has no quirk {', '.join(unknown)}. Available: {', '.join(QUIRKS)}.")
    for name, value in settings.items():
        if name.endswith(("_thresh", "_ratio", "_iou")):
            if not 0 <= value <= 1:
                raise BadInput(f"{name} is {value}; give a share in [0, 1].")
        elif value < (least := 0 if name in MAY_BE_0 else 1):
            raise BadInput(f"{name} is {value}; give at least {least}.")
    layers, factor = settings["crop_n_layers"], settings["crop_n_points_downscale_factor"]
    if settings["points_per_side"] < factor**layers:
        raise BadInput(f"crop_n_points_downscale_factor is {factor}; so {layers} layers have no points. Give fewer.")


def _load(architecture: str, file: Path) -> Sam:
    if architecture not in ARCHITECTURES:
        raise UnknownName(f"No SAM architecture named {architecture!r}. Available: {', '.join(ARCHITECTURES)}.")
    net = ARCHITECTURES[architecture]()
    state = (
        load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    )
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise BadInput(f"{file.name} is not a SAM of the architecture {architecture!r} ({error}).") from error
    _image_attention.replace(net)
    return net


Component = SamProposer
"""What `ris_core.profiles.catalog` makes of this file's name."""
