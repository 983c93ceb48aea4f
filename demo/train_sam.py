"""Train SAM-tiny on generated scenes: `python -m demo.train_sam`. Resumes from its last checkpoint.

Loss of a prompt: 10 x focal + dice on (single mask + best of three + 0.05 x mean of three), IoU regression on all four mask
tokens with target 0 for background points; an auxiliary dense head (foreground, boundary, offset to the centroid) gets
the encoder started and is dropped afterwards.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor, nn

from demo.scenes import make_scene
from demo.training import TRAIN_SEED, Optimiser, Progress, load_state, save_state, save_weights
from ris_core.proposers._tiny_sam import EMBEDDING_CHANNELS, IMAGE_PX, PIXEL_MEAN, PIXEL_STD, build_tiny_sam

POINTS = 8
"""Prompts per image and step."""
BACKGROUND_POINTS = 1
MASK_PX = 64
"""Side of the decoder's mask logits."""
SAVE_STEPS = 500
"""Steps from one saved state to the next."""


class Scenes(torch.utils.data.IterableDataset):
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
    soft = F.avg_pool2d(masks[None], IMAGE_PX // MASK_PX)[0]
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


def losses(sam: Sam, embeddings: Tensor, soft: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and mean selected IoU, means over the images of a batch.

    Args:
        embeddings: (B, 128, 16, 16).
        soft: True masks in [0, 1] (B, P, 64, 64), all 0 for a background point.
        points: x, y in pixels of the padded image (B, P, 2).
    """
    logits, predicted_iou = predict_masks(sam, embeddings, points)  # (B, P, 4, 64, 64), (B, P, 4)
    target = soft[:, :, None].expand_as(logits)
    probability = logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (bce * (probability - target).abs() ** 2).mean((-2, -1))
    dice = 1 - (2 * (probability * target).sum((-2, -1)) + 1) / ((probability + target).sum((-2, -1)) + 1)
    mask_loss = 10 * focal + dice  # (B, P, 4)
    is_object = (soft.amax((-2, -1)) > 0).float()
    objects = is_object.sum(1).clamp(min=1)
    per_prompt = mask_loss[..., 0] + mask_loss[..., 1:].amin(-1) + 0.05 * mask_loss[..., 1:].mean(-1)
    with torch.no_grad():
        hard, truth = logits > 0, target > 0.5
        iou = (hard & truth).sum((-2, -1)) / (hard | truth).sum((-2, -1)).clamp(min=1)
        iou = iou * is_object[..., None]
        selected = iou[..., 1:].gather(-1, predicted_iou[..., 1:].argmax(-1, keepdim=True))[..., 0]
    total = (per_prompt * is_object).sum(1) / objects + F.mse_loss(predicted_iou, iou, reduction="none").mean((1, 2))
    return total.mean(), ((selected * is_object).sum(1) / objects).mean()


def predict_masks(sam: Sam, embeddings: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The stock decoder on several images at once, which its own `predict_masks` cannot: one positive point a prompt.

    Args:
        embeddings: (B, C, 16, 16).
        points: x, y in pixels of the padded image (B, P, 2).

    Returns:
        Logits (B, P, 4, 64, 64) and predicted IoUs (B, P, 4), of the single mask and the three others.
    """
    decoder, (batch, prompts) = sam.mask_decoder, points.shape[:2]
    labels = torch.ones(batch * prompts, 1, device=points.device)
    sparse, dense = sam.prompt_encoder(points=(points.flatten(0, 1)[:, None], labels), boxes=None, masks=None)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(len(sparse), -1, -1)
    pictures = embeddings.repeat_interleave(prompts, 0) + dense
    position = sam.prompt_encoder.get_dense_pe().expand(len(sparse), -1, -1, -1)
    tokens, seen = decoder.transformer(pictures, position, torch.cat([own, sparse], 1))
    upscaled = decoder.output_upscaling(seen.transpose(1, 2).reshape(pictures.shape))
    read = enumerate(decoder.output_hypernetworks_mlps, 1)
    weights = torch.stack([mlp(tokens[:, i]) for i, mlp in read], 1)  # (B * P, 4, C / 8)
    logits = torch.einsum("nkc,nchw->nkhw", weights, upscaled)
    return logits.unflatten(0, (batch, prompts)), decoder.iou_prediction_head(tokens[:, 0]).unflatten(
        0, (batch, prompts)
    )


def train(steps: int, batch: int, out: Path, state_file: Path, workers: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sam, head = build_tiny_sam().to(device), DenseHead().to(device)
    sam.image_encoder.to(memory_format=torch.channels_last)
    optimiser = Optimiser([sam, head], muon_lr=1.8e-3, adam_lr=1.2e-3)
    parts = {"sam": sam, "head": head, "optimiser": optimiser}
    first = load_state(state_file, parts)
    data = torch.utils.data.DataLoader(Scenes(first * batch, steps * batch), batch_size=batch, num_workers=workers)
    progress = Progress(first, steps, "images")
    for step, (images, soft, points, dense) in enumerate((_move(sample, device) for sample in data), first + 1):
        optimiser.schedule(step - 1, steps, warmup=300)
        embeddings = sam.image_encoder(images.contiguous(memory_format=torch.channels_last))
        prompt_loss, iou = losses(sam, embeddings, soft, points)
        loss = head.loss(embeddings, dense) + prompt_loss
        optimiser.step(loss)
        progress.add(step, batch, {"loss": loss.item(), "iou": iou.item()})
        if step % SAVE_STEPS == 0 or step == steps:
            save_state(state_file, parts, step)
            save_weights(sam, out)


def _move(tensors: list[Tensor], device: str) -> list[Tensor]:
    return [tensor.to(device) for tensor in tensors]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--batch", type=int, default=4, help="images per step")
    parser.add_argument("--out", type=Path, default=Path("demo/weights/sam-tiny.safetensors"))
    parser.add_argument("--state", type=Path, default=Path("demo/.training/sam.pt"))
    parser.add_argument("--workers", type=int, default=0, help="processes that draw scenes")
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    train(a.steps, a.batch, a.out, a.state, a.workers, a.threads)


if __name__ == "__main__":
    main()
