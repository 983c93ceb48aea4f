"""SAM 2.1 asked at a grid of points, or at clicks and boxes; the package transformers runs it.

The whole picture is squashed to a square, and the masks go from the decoder's 256 px straight to the picture. Filters are those of
`sam`, applied before masks are enlarged.

Sources: [0] Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024; [1] `Sam2Model` of the package transformers, used as
it is. The memory of videos is not used.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from segment_anything.utils.amg import build_point_grid, calculate_stability_score
from torch import Tensor

from ris_core.arrays import Array
from ris_core.behaviour import ENCODE_BEHAVIOUR
from ris_core.errors import BadInput
from ris_core.geometry import boxes
from ris_core.proposers import _prompting
from ris_core.proposers._filters import clean, keep_distinct
from ris_core.runtime.devices import computing_in, pick_device
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals
from ris_core.types.prompts import PromptEmbedding, Prompts

MODEL_TYPES = ("sam2", "sam2_video")
"""What a folder's configuration calls itself; published folders hold the parts for videos too, which are left out."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Per channel of RGB in [0, 1], as in [1]'s image processor."""
LEVELS = ("stride_4", "stride_8", "stride_16")
"""Names of the image encoder's maps in an embedding: 32, 64 and 256 channels in the published models."""
Levels = Sequence[Float[Tensor, "1 _ _ _"]]


class Sam2Proposer:
    """Proposals by a grid of points, and masks of what is pointed at.

    Args:
        store: Where the weights are.
        weights: Name of the weights, or the absolute path of a folder as transformers saves a `Sam2Model`: `config.json` and
            `model.safetensors`. Its size, tiny to large, stands in its configuration.
        points_per_side: The image is asked at this many times this many points; three masks each.
        pred_iou_thresh: Least IoU with an object that SAM 2 itself expects, in [0, 1].
        stability_score_thresh: Least IoU of a mask with itself when its threshold is shifted, in [0, 1].
        min_area_ratio: Holes, islands and whole masks smaller than this share of the image are dropped.
        max_mask_iou: Of masks that overlap more than this IoU the best is kept.
        device: A torch device, or "auto" for a GPU if there is one.
        batch_size: How many points go through the model at once.
        stability_score_offset: How far the threshold is shifted, in logits.
        max_proposals: How many proposals to keep at most, the best first.

    Raises:
        WeightsMissing: If the weights are not here and cannot be downloaded.
        BadInput: If the package transformers is not installed, the weights are no SAM 2, or a setting is out of range.
    """

    def __init__(
        self,
        store: WeightStore,
        weights: str,
        points_per_side: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        min_area_ratio: float,
        max_mask_iou: float,
        device: str = "cpu",
        batch_size: int = 32,
        stability_score_offset: float = 1.0,
        max_proposals: int = 100,
    ) -> None:
        shares = {
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "min_area_ratio": min_area_ratio,
            "max_mask_iou": max_mask_iou,
        }
        counts = {"points_per_side": points_per_side, "batch_size": batch_size, "max_proposals": max_proposals}
        _check(shares, counts)
        self.device, self.batch_size = pick_device(device), batch_size
        self.net = _load(store.locate(weights)).to(self.device)
        self.pred_iou_thresh, self.stability_score_thresh = pred_iou_thresh, stability_score_thresh
        self.min_area_ratio, self.max_mask_iou, self.max_proposals = min_area_ratio, max_mask_iou, max_proposals
        self.stability_score_offset = stability_score_offset
        self.size_px = int(self.net.prompt_encoder.input_image_size)
        self.points = torch.from_numpy(build_point_grid(points_per_side)).float().to(self.device) * self.size_px
        sees = {"component": "sam2", "digest": store.digest(weights)}
        embeds = {**sees, "behaviour": ENCODE_BEHAVIOUR}
        self.embed_fp = hashlib.sha256(json.dumps(embeds, sort_keys=True).encode()).hexdigest()[:16]
        self.fingerprint: Mapping[str, object] = {
            **sees,
            **shares,
            "points_per_side": points_per_side,
            "max_proposals": max_proposals,
            "stability_score_offset": stability_score_offset,
        }
        self._seen: tuple[str, Levels] | None = None

    @torch.no_grad()
    def propose(self, image: Image) -> Proposals:
        """Proposals, the best first; none if SAM 2 finds none."""
        levels = self._see(image)
        records: list[dict[str, Any]] = []
        for points in self.points.split(self.batch_size):
            signs = torch.ones(len(points), 1, device=self.device)
            logits, predicted_iou = self._decode(levels, (points[:, None], signs), None, None, True)
            records += self._records(logits.flatten(0, 1), predicted_iou.flatten(), is_filtered=True)
        quality = [record["predicted_iou"] * record["stability_score"] for record in records]
        return _enlarge(keep_distinct(records, quality, self.max_mask_iou)[: self.max_proposals], image.size_hw)

    @torch.no_grad()
    def embed(self, image: Image) -> PromptEmbedding:
        """What `mask` needs of an image. The image encoder runs once if an image is embedded and proposed in a row."""
        maps = (level[0].to("cpu", torch.float16).numpy() for level in self._see(image))
        return PromptEmbedding(image.sha256, image.size_hw, dict(zip(LEVELS, maps, strict=True)), self.embed_fp)

    @torch.no_grad()
    def mask(self, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
        """What is pointed at, cleaned as proposals are: up to three candidates for a single click, else one at most.

        The candidate comes first whose IoU SAM 2 expects to be highest.

        Raises:
            BadInput: If the embedding was made by other weights, or in another way; if a mask is given that is not of the image's
                size.
        """
        _prompting.check(embedding, prompts, self.embed_fp)
        levels = [torch.from_numpy(embedding.arrays[name])[None].float().to(self.device) for name in LEVELS]
        scale_xy = self.size_px / np.array(
            embedding.size_hw[::-1], float
        )  # each axis by itself: the picture is squashed
        before = None
        if prompts.mask is not None:
            share = torch.as_tensor(prompts.mask, dtype=torch.float32, device=self.device)[None, None]
            before = _prompting.certain_logits(share, self.net.prompt_encoder.mask_input_size)
        decode = partial(self._decode, levels)
        logits, predicted_iou = _prompting.answer(decode, prompts, scale_xy, before, self.device)
        records = list(self._records(logits[0], predicted_iou[0], is_filtered=False))
        quality = [record["predicted_iou"] for record in records]
        return _enlarge(keep_distinct(records, quality, self.max_mask_iou), embedding.size_hw)

    def _decode(
        self,
        levels: Levels,
        points: tuple[Float[Tensor, "b p 2"], Tensor] | None,
        boxes_xyxy: Float[Tensor, "b 4"] | None,
        before: Float[Tensor, "1 1 y x"] | None,
        is_vague: bool,
    ) -> tuple[Float[Tensor, "b k y x"], Float[Tensor, "b k"]]:
        """Logits and predicted IoU for B prompts on one image, in pixels of the square; as `_prompting.decode`."""
        answer = self.net(
            image_embeddings=list(levels),
            input_points=None if points is None else points[0][None],
            input_labels=None if points is None else points[1][None].int(),
            input_boxes=None if boxes_xyxy is None else boxes_xyxy[None],
            input_masks=before,
            multimask_output=is_vague,
        )
        return answer.pred_masks[0].float(), answer.iou_scores[0].float()

    def _records(
        self, logits: Float[Tensor, "n y x"], predicted_iou: Float[Tensor, "n"], is_filtered: bool
    ) -> Iterator[dict[str, Any]]:
        """Cleaned masks at the decoder's size, with their logits; those that are too small, and filtered ones, are left out."""
        stability = calculate_stability_score(logits, 0.0, self.stability_score_offset)
        smallest = self.min_area_ratio * logits.shape[1] * logits.shape[2]  # squashing keeps shares of the area
        for own, iou, stable in zip(logits, predicted_iou.tolist(), stability.tolist(), strict=True):
            if is_filtered and (iou < self.pred_iou_thresh or not stable >= self.stability_score_thresh):
                continue
            mask = (own > 0).cpu().numpy()
            if not mask.any():
                continue
            record = clean({"segmentation": mask, "predicted_iou": iou, "stability_score": stable}, smallest)
            if record["area"] >= (max(1, smallest) if is_filtered else 1):
                is_changed = torch.from_numpy(record["segmentation"] != mask).to(own.device)
                yield {**record, "logits": torch.where(is_changed, -own, own)}

    def _see(self, image: Image) -> Levels:
        """What the image encoder says of an image; remembered until there is another."""
        if self._seen is None or self._seen[0] != image.sha256:
            pixels = torch.from_numpy(np.ascontiguousarray(image.pixels.transpose(2, 0, 1), np.float32)) / 255
            size_hw = (self.size_px, self.size_px)
            square = F.interpolate(pixels[None].to(self.device), size_hw, mode="bilinear", antialias=True)
            mean, std = (square.new_tensor(values)[:, None, None] for values in (MEAN, STD))
            with computing_in("fp32", self.device):
                self._seen = image.sha256, self.net.get_image_embeddings((square - mean) / std)
        return self._seen[1]


def _check(shares: Mapping[str, float], counts: Mapping[str, int]) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise BadInput(f"{name} is {share}; give a share in [0, 1].")
    for name, count in counts.items():
        if count < 1:
            raise BadInput(f"{name} is {count}; give at least 1.")


def _load(folder: Path) -> Any:
    """The model on the CPU in float32, in evaluation; read from the folder alone."""
    try:
        from transformers import Sam2Model
    except ImportError as error:
        raise BadInput(
            "The proposer 'sam2' needs the package transformers, which is not installed.",
            "Run: pip install 'label-studio-ris[sam2]'",
        ) from error
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{folder} is no folder of a SAM 2: its config.json cannot be read ({error}).",
            "Give a folder as transformers saves it, with config.json and model.safetensors.",
        ) from error
    if model_type not in MODEL_TYPES:
        raise BadInput(f"{folder} holds a model of the type {model_type!r}; give one of {', '.join(MODEL_TYPES)}.")
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
    try:
        loaded: Any = Sam2Model.from_pretrained(folder, output_loading_info=True, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(f"The SAM 2 in {folder} cannot be loaded ({str(error).splitlines()[0]}).") from error
    net, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        raise BadInput(f"The SAM 2 in {folder} lacks {len(missing)} weights, such as {missing[0]}. Copy it again.")
    return net.eval().requires_grad_(False)


def _enlarge(records: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> Proposals:
    """Proposals at the image's size, by their logits; one that is too thin for a pixel of the image is left out."""
    stack = np.zeros((len(records), *size_hw), bool)
    for mask, record in zip(stack, records, strict=True):
        logits = F.interpolate(record["logits"][None, None], size_hw, mode="bilinear", align_corners=False)
        mask[:] = (logits[0, 0] > 0).cpu().numpy()
    kept = np.flatnonzero(stack.any((1, 2)))
    masks = stack if len(kept) == len(stack) else stack[kept]

    def column(name: str) -> Float[Array, "..."]:
        return np.array([records[i][name] for i in kept], np.float32)

    return Proposals(
        masks=masks,
        boxes_xywh=boxes.from_masks(masks),
        predicted_iou=column("predicted_iou"),
        stability=column("stability_score"),
    )


Component = Sam2Proposer
"""What `ris_core.profiles.catalog` makes of this file's name."""
