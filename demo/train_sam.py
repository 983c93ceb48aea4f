"""Train SAM-tiny on generated scenes: `python -m demo.train_sam`. Resumes from its last checkpoint.

Prompts are points, loose boxes, and clicks that correct what was answered to these. Loss of a prompt: 10 x focal + dice on
(single mask + best of three + 0.05 x mean of three), IoU regression on all four mask tokens with target 0 for background points;
an auxiliary dense head (foreground, boundary, offset to the centroid) gets the encoder started and is dropped afterwards.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor, nn

from demo.scenes import make_scene
from demo.training import TRAIN_SEED, Optimiser, TrainingProgress, load_state, save_state, save_weights
from ris_core.proposers._tiny_sam import EMBEDDING_CHANNELS, IMAGE_PX, PIXEL_MEAN, PIXEL_STD, build_tiny_sam
from ris_core.runtime.weights import BUNDLED_FOLDER

POINTS = 8
"""Prompts per image and step."""
BACKGROUND_POINTS = 1
BOXES = 2
"""Prompts per image and step that are boxes; as many of either kind are corrected."""
LOOSE_PX = 6
"""Boxes are drawn wrong by at most about this much a side."""
CORRECTIONS = 2
"""Clicks on what is wrong, one after the other, each with what was answered before."""
CORRECTION_WEIGHT = 0.5
MASK_PX = 64
"""Side of the decoder's mask logits."""
STRIDE_PX = IMAGE_PX // MASK_PX
SAVE_STEPS = 500
"""Steps from one saved state to the next."""


class SamScenes(torch.utils.data.IterableDataset):
    """(normalised padded image (3, 256, 256), soft masks (P, 64, 64), points (P, 2), dense targets (4, 64, 64))."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        info = torch.utils.data.get_worker_info()
        offset, step = (info.id, info.num_workers) if info else (0, 1)
        for index in range(self.first + offset, self.last, step):
            yield make_sample(TRAIN_SEED + index)


def make_sample(seed: int) -> tuple[Tensor, ...]:
    scene = make_scene(seed)
    rng = np.random.default_rng([seed, 1])
    h, w = scene.image.shape[:2]
    scale = IMAGE_PX / max(h, w)
    nh, nw = round(h * scale), round(w * scale)
    stack = np.concatenate([scene.image.transpose(2, 0, 1), [o.mask * 255 for o in scene.objects]]).astype(np.float32)
    small = F.interpolate(
        torch.from_numpy(stack)[None], (nh, nw), mode="bilinear", antialias=True, align_corners=False
    )[0]
    padding = (0, IMAGE_PX - nw, 0, IMAGE_PX - nh)
    mean, std = torch.tensor(PIXEL_MEAN)[:, None, None], torch.tensor(PIXEL_STD)[:, None, None]
    image = F.pad((small[:3] - mean) / std, padding)
    masks = F.pad(small[3:] / 255, padding)  # (objects, 256, 256)
    soft = F.avg_pool2d(masks[None], STRIDE_PX)[0]
    targets, points = [], []
    for k in range(POINTS):
        if k < BACKGROUND_POINTS:
            inside = (masks.sum(0) < 0.01).numpy()
            inside[nh:], inside[:, nw:] = False, False
            target = torch.zeros(MASK_PX, MASK_PX)
        else:
            i = int(rng.integers(len(scene.objects)))
            inside, target = (masks[i] > 0.5).numpy(), soft[i]
        ys, xs = np.nonzero(inside)
        j = int(rng.integers(len(xs)))
        targets.append(target)
        points.append([xs[j] + 0.5, ys[j] + 0.5])
    return image, torch.stack(targets), torch.tensor(points, dtype=torch.float32), _dense_targets(soft)


def _dense_targets(soft: Tensor) -> Tensor:
    """(4, 64, 64): foreground, boundary, offset to the centroid of the object in x and y (units of a quarter image)."""
    foreground = soft.sum(0).clamp(0, 1)
    boundary = ((soft > 0.1) & (soft < 0.9)).any(0).float()
    owner = soft.argmax(0)
    grid_y, grid_x = torch.meshgrid(torch.arange(MASK_PX) + 0.5, torch.arange(MASK_PX) + 0.5, indexing="ij")
    mass = soft.sum((1, 2)).clamp(min=1e-6)
    cx, cy = (soft * grid_x).sum((1, 2)) / mass, (soft * grid_y).sum((1, 2)) / mass
    return torch.stack([foreground, boundary, (cx[owner] - grid_x) / 16, (cy[owner] - grid_y) / 16])


class DenseHead(nn.Module):
    """Auxiliary head, used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(EMBEDDING_CHANNELS, 4 * 16, 1), nn.PixelShuffle(4))

    def loss(self, embedding: Tensor, dense: Tensor) -> Tensor:
        out = self.body(embedding)
        owned = dense[:, :1] > 0.5
        offset = (F.smooth_l1_loss(out[:, 2:], dense[:, 2:], reduction="none") * owned).sum() / (2 * owned.sum() + 1)
        return F.binary_cross_entropy_with_logits(out[:, :2], dense[:, :2]) + offset


@dataclass(frozen=True)
class TrainingPrompts:
    """N prompts of the images of a batch, all clicks or all boxes at first, corrected by clicks later.

    Attributes:
        image: int (N,), which image each belongs to.
        soft: True masks in [0, 1] (N, 64, 64), all 0 for background.
        clicks: x, y in pixels of the padded image (N, K, 2).
        labels: 1 for a positive click, 0 for a negative one (N, K).
        boxes: x, y, x, y (N, 4), or None.
        logits: What the decoder said before (N, 1, 64, 64), or None.
    """

    image: Tensor
    soft: Tensor
    clicks: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    logits: Tensor | None = None

    def encode(self, sam: Sam) -> tuple[Tensor, Tensor]:
        """Sparse (N, K + 1 or K + 2, C) and dense (N, C, 16, 16) embeddings."""
        points = (self.clicks, self.labels) if self.clicks.shape[1] else None
        return sam.prompt_encoder(points=points, boxes=self.boxes, masks=self.logits)

    def correct(self, logits: Tensor) -> "TrainingPrompts":
        """The last of them, as many as `logits` (n, 64, 64) answers, each with a click on what is wrong there."""
        n = len(logits)
        wrong = (logits > 0) != (self.soft[-n:] > 0.5)
        # Inside what is wrong rather than at its rim; anywhere on the thing if nothing is.
        thick = F.avg_pool2d(wrong[:, None].float(), 5, stride=1, padding=2)[:, 0] ** 2 * wrong
        weights = thick.flatten(1) + 1e-6 * (self.soft[-n:].flatten(1) > 0.5) + 1e-9
        cell = torch.multinomial(weights, 1)
        click = torch.cat([cell % MASK_PX, cell // MASK_PX], 1)[:, None] * STRIDE_PX + STRIDE_PX / 2
        label = (self.soft[-n:].flatten(1).gather(1, cell) > 0.5).float()
        return TrainingPrompts(
            image=self.image[-n:],
            soft=self.soft[-n:],
            clicks=torch.cat([self.clicks[-n:], click], 1),
            labels=torch.cat([self.labels[-n:], label], 1),
            boxes=None if self.boxes is None else self.boxes[-n:],
            logits=logits[:, None],
        )


def first_prompts(soft: Tensor, points: Tensor) -> tuple[TrainingPrompts, TrainingPrompts]:
    """A batch's prompts (B, P, …): its points but the last `BOXES`, and boxes around the objects of these."""
    images = torch.arange(len(soft), device=soft.device)
    clicked, boxed = points[:, :-BOXES].flatten(0, 1)[:, None], soft[:, -BOXES:].flatten(0, 1)
    none = clicked.new_zeros(len(boxed), 0, 2)
    by_point = soft[:, :-BOXES]
    return (
        TrainingPrompts(
            images.repeat_interleave(by_point.shape[1]),
            by_point.flatten(0, 1),
            clicked,
            torch.ones_like(clicked[..., 0]),
        ),
        TrainingPrompts(images.repeat_interleave(BOXES), boxed, none, none[..., 0], boxes=loose_boxes(boxed)),
    )


def loose_boxes(soft: Tensor) -> Tensor:
    """Boxes around masks (N, 64, 64), drawn as loosely as a person does: x, y, x, y in pixels of the padded image (N, 4)."""
    inside = soft > 0.5
    sides = []
    for across in (inside.any(1), inside.any(2)):  # columns, rows
        first = across.float().argmax(1)
        last = MASK_PX - across.flip(1).float().argmax(1)
        sides.append(torch.stack([first, last], 1) * float(STRIDE_PX))
    x, y = sides
    boxes = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + torch.randn_like(boxes) * (0.05 * size).clamp(max=LOOSE_PX)


def losses(sam: Sam, embeddings: Tensor, soft: Tensor, points: Tensor) -> dict[str, Tensor]:
    """The loss, and mean IoUs of the masks that would be taken: of first prompts, and after the last correction.

    Args:
        embeddings: (B, 128, 16, 16).
        soft: True masks in [0, 1] (B, P, 64, 64), all 0 for a background point.
        points: x, y in pixels of the padded image (B, P, 2).
    """
    groups: Sequence[TrainingPrompts] = first_prompts(soft, points)
    found = predict_masks(sam, embeddings, groups)
    loss, iou = compare(*found, torch.cat([group.soft for group in groups]))
    counts = [len(group.soft) for group in groups]
    for _ in range(CORRECTIONS):
        taken = [take_best(logits, guess)[-len(soft) * BOXES :] for logits, guess in _split(found, counts)]
        groups = [group.correct(logits) for group, logits in zip(groups, taken, strict=True)]
        counts = [len(group.soft) for group in groups]
        found = predict_masks(sam, embeddings, groups)
        more, last_iou = compare(*found, torch.cat([group.soft for group in groups]))
        loss = loss + CORRECTION_WEIGHT * more
    return {"loss": loss, "iou": iou, "corrected": last_iou}


def predict_masks(sam: Sam, embeddings: Tensor, groups: Sequence[TrainingPrompts]) -> tuple[Tensor, Tensor]:
    """The stock decoder on several images at once, which its own `predict_masks` cannot.

    Args:
        embeddings: (B, C, 16, 16).
        groups: Prompts with as many sparse embeddings each.

    Returns:
        Logits (N, 4, 64, 64) and predicted IoUs (N, 4), of the single mask and the three others, group after group.
    """
    decoder, encoded = sam.mask_decoder, [group.encode(sam) for group in groups]
    sparse, dense = (torch.cat(parts) for parts in zip(*encoded, strict=True))
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(len(sparse), -1, -1)
    pictures = embeddings[torch.cat([group.image for group in groups])] + dense
    position = sam.prompt_encoder.get_dense_pe().expand(len(sparse), -1, -1, -1)
    tokens, seen = decoder.transformer(pictures, position, torch.cat([own, sparse], 1))
    upscaled = decoder.output_upscaling(seen.transpose(1, 2).reshape(pictures.shape))
    read = enumerate(decoder.output_hypernetworks_mlps, 1)
    weights = torch.stack([mlp(tokens[:, i]) for i, mlp in read], 1)  # (N, 4, C / 8)
    return torch.einsum("nkc,nchw->nkhw", weights, upscaled), decoder.iou_prediction_head(tokens[:, 0])


def take_best(logits: Tensor, predicted_iou: Tensor) -> Tensor:
    """Of the three masks (N, 4, 64, 64) the one that is expected to be best (N, 64, 64), without a gradient."""
    best = 1 + predicted_iou[:, 1:].argmax(1)
    return logits[torch.arange(len(logits), device=logits.device), best].detach()


def compare(logits: Tensor, predicted_iou: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and mean IoU of the masks that would be taken: logits (N, 4, 64, 64), predicted IoUs (N, 4), soft (N, 64, 64)."""
    target = soft[:, None].expand_as(logits)
    probability = logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (bce * (probability - target).abs() ** 2).mean((2, 3))
    dice = 1 - (2 * (probability * target).sum((2, 3)) + 1) / ((probability + target).sum((2, 3)) + 1)
    mask_loss = 10 * focal + dice  # (N, 4)
    is_object = (soft.amax((1, 2)) > 0).float()
    objects = is_object.sum().clamp(min=1)
    per_prompt = mask_loss[:, 0] + mask_loss[:, 1:].amin(1) + 0.05 * mask_loss[:, 1:].mean(1)
    with torch.no_grad():
        hard, truth = logits > 0, target > 0.5
        iou = (hard & truth).sum((2, 3)) / (hard | truth).sum((2, 3)).clamp(min=1)
        iou = iou * is_object[:, None]
        selected = iou[:, 1:].gather(1, predicted_iou[:, 1:].argmax(1, keepdim=True))[:, 0]
    loss = (per_prompt * is_object).sum() / objects + F.mse_loss(predicted_iou, iou)
    return loss, (selected * is_object).sum() / objects


def _split(found: tuple[Tensor, Tensor], counts: list[int]) -> list[tuple[Tensor, Tensor]]:
    logits, predicted_iou = found
    return list(zip(logits.split(counts), predicted_iou.split(counts), strict=True))


def train(
    steps: int,
    batch: int,
    out: Path,
    state_file: Path,
    workers: int,
    threads: int,
    rate: float = 1.0,
    start: Path | None = None,
) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sam, head = build_tiny_sam().to(device), DenseHead().to(device)
    sam.image_encoder.to(memory_format=torch.channels_last)
    if start:
        load_state(start, {"sam": sam, "head": head})
    optimiser = Optimiser([sam, head], muon_lr=rate * 1.8e-3, adam_lr=rate * 1.2e-3)
    parts = {"sam": sam, "head": head, "optimiser": optimiser}
    first = load_state(state_file, parts)
    data = torch.utils.data.DataLoader(SamScenes(first * batch, steps * batch), batch_size=batch, num_workers=workers)
    progress = TrainingProgress(first, steps, "images")
    for step, (images, soft, points, dense) in enumerate((_move(sample, device) for sample in data), first + 1):
        optimiser.schedule(step - 1, steps, warmup=300)
        embeddings = sam.image_encoder(images.contiguous(memory_format=torch.channels_last))
        found = losses(sam, embeddings, soft, points)
        optimiser.step(head.loss(embeddings, dense) + found["loss"])
        progress.add(step, batch, {name: value.item() for name, value in found.items()})
        if step % SAVE_STEPS == 0 or step == steps:
            save_state(state_file, parts, step)
            save_weights(sam, out)


def _move(tensors: list[Tensor], device: str) -> list[Tensor]:
    return [tensor.to(device) for tensor in tensors]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--batch", type=int, default=4, help="images per step")
    parser.add_argument("--out", type=Path, default=BUNDLED_FOLDER / "sam-tiny.safetensors")
    parser.add_argument("--state", type=Path, default=Path("demo/.training/sam.pt"))
    parser.add_argument("--workers", type=int, default=0, help="processes that draw scenes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--start", type=Path, help="another training's state, to go on from with a schedule of its own")
    a = parser.parse_args()
    train(a.steps, a.batch, a.out, a.state, a.workers, a.threads, a.rate, a.start)


if __name__ == "__main__":
    main()
