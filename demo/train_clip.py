"""Train CLIP-tiny on generated scenes: `python -m demo.train_clip`. Resumes from its last checkpoint.

Loss: contrastive in both directions with every true caption of a view a positive, every false one a negative and the
unclear ones left out; class and colour heads that are dropped afterwards; a small patch-to-noun loss, so that heat maps
mean something. The frames are masked inside the network as the methods do it, at the last blocks.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from demo.scenes import make_scene
from demo.tokenizer import BPE_FILE, load_tokenizer
from demo.training import TRAIN_SEED, Optimiser, TrainingProgress, load_state, save_state, save_weights
from demo.views import COLOURS, MEAN_RGB, NOUNS, Batch, make_batch, match, squash, to_grid

WEIGHT_DIR = BPE_FILE.parent
MASKED_BLOCKS = 3
"""Last blocks of the visual tower at which masks act."""
LOCAL_WEIGHT = 2.0
"""Weight of the masked global stream added to the local one (HybridGL, G2L)."""
FIRST_TEMPERATURE = 24.0
FIRST_SEED = 1_000
"""First of the scene seeds the accuracy is measured on; far below those of training."""


class ClipScenes(torch.utils.data.IterableDataset):
    """Batches of consecutive scenes; batch k is the same whatever the number of workers."""

    def __init__(self, first: int, last: int, scenes: int) -> None:
        self.first, self.last, self.scenes = first, last, scenes

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        offset, step = (info.id, info.num_workers) if info else (0, 1)
        for index in range(self.first + offset, self.last, step):
            start = TRAIN_SEED + index * self.scenes
            yield make_batch(range(start, start + self.scenes))


class Heads(nn.Module):
    """Linear class and colour read-outs of the image feature, used in training only."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.noun, self.colour = nn.Linear(embed_dim, len(NOUNS)), nn.Linear(embed_dim, len(COLOURS))

    def loss(self, features: Tensor, noun: Tensor, colour: Tensor) -> Tensor:
        colour_loss = F.cross_entropy(self.colour(features), colour, ignore_index=-1)
        return F.cross_entropy(self.noun(features), noun) + 0.5 * colour_loss


def build_model() -> CLIP:
    """CLIP-tiny without weights, from its configuration."""
    config = json.loads((WEIGHT_DIR / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    model = CLIP(**config)
    nn.init.constant_(model.logit_scale, math.log(FIRST_TEMPERATURE))
    return model


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (N, 3, 96, 96) to CLIP's mean and deviation; `MEAN_RGB` becomes exactly 0."""
    mean = torch.from_numpy(MEAN_RGB).float().to(pixels.device)[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711], device=pixels.device)[:, None, None]
    return (pixels.float() - mean) / (255 * std)


def embed_patches(model: CLIP, images: Tensor) -> Tensor:
    """Tokens before the first block: (N, 3, 96, 96) -> (N, 65, 160)."""
    visual = model.visual
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(patches), 1, -1), patches], dim=1)
    return visual.ln_pre(x + visual.positional_embedding)


def read_class(model: CLIP, x: Tensor) -> Tensor:
    """Image features of token sequences: (N, 65, 160) -> (N, 128), unnormalised."""
    return model.visual.ln_post(x[:, 0]) @ model.visual.proj


def mask_tokens(x: Tensor, grids: Tensor) -> Tensor:
    """Multiply the patch tokens by the grid masks (N, 64); the class token stays."""
    return x * F.pad(grids, (1, 0), value=1.0)[..., None]


def mask_class_row(grids: Tensor, heads: int) -> Tensor:
    """Additive attention mask (N * heads, 65, 65): the class token sees itself and the patches inside the mask."""
    n, patches = grids.shape
    mask = torch.zeros(n, heads, patches + 1, patches + 1, device=grids.device)
    mask[:, :, 0, 1:].masked_fill_((grids == 0)[:, None], float("-inf"))
    return mask.flatten(0, 1)


def encode_views(model: CLIP, batch: Batch) -> tuple[Tensor, Tensor]:
    """Features of all views in the order of the labels (V, 128), and patch features of the frames (S, 64, 128)."""
    blocks = list(model.visual.transformer.resblocks)
    early, late = blocks[:-MASKED_BLOCKS], blocks[-MASKED_BLOCKS:]
    heads = late[0].attn.num_heads
    parts = [batch.crops, batch.masked, batch.blurred, batch.frames]
    x = embed_patches(model, normalise(torch.cat(parts)))
    for block in early:
        x = block(x)
    crops, local, whole, frames = x.split([len(part) for part in parts])

    tokens = frames[batch.frame_of]
    masked_tokens, masked_rows = tokens, tokens[batch.row_of]
    pair_rows = mask_class_row(batch.pair_grids, heads)
    frame_rows = mask_class_row(batch.grids[batch.row_of], heads)
    plain = torch.cat([crops, local, frames])
    rows, row_mask = torch.cat([whole, masked_rows]), torch.cat([pair_rows, frame_rows])
    mixed = local
    for block in late[:-1]:
        mixed = block(mixed + LOCAL_WEIGHT * mask_tokens(rows[: len(whole)], batch.pair_grids))
        rows = block(rows, attn_mask=row_mask)
        masked_tokens = block(mask_tokens(masked_tokens, batch.grids))
        plain = block(plain)
    mixed = mixed + LOCAL_WEIGHT * mask_tokens(rows[: len(whole)], batch.pair_grids)
    pictures, frames = plain.split([len(crops) + len(local), len(frames)])
    rows = update_class(late[-1], rows, row_mask)
    whole, masked_rows = rows.split([len(whole), len(masked_rows)])
    unmasked = update_class(late[-1], torch.cat([pictures, mixed, mask_tokens(masked_tokens, batch.grids)]))
    pictures, mixed, masked_tokens = unmasked.split([len(pictures), len(mixed), len(masked_tokens)])
    views = torch.cat([pictures, whole, mixed, masked_tokens, masked_rows])
    return read_class(model, views), model.visual.ln_post(late[-1](frames)[:, 1:]) @ model.visual.proj


def update_class(block: ResidualAttentionBlock, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """A block's output at the class token only, all that the last one is read for: (N, 65, 160) -> (N, 1, 160)."""
    inputs = block.ln_1(x)
    row_mask = attn_mask[:, :1] if attn_mask is not None else None
    y = x[:, :1] + block.attn(inputs[:, :1], inputs, inputs, need_weights=False, attn_mask=row_mask)[0]
    return y + block.mlp(block.ln_2(y))


def encode_captions(model: CLIP, tokens: Tensor) -> Tensor:
    """`CLIP.encode_text` on only as many positions as the longest text needs: (T, 24) -> (T, 128)."""
    ends = tokens.argmax(1)
    length = int(ends.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return x[torch.arange(len(x)), ends] @ model.text_projection


def contrast(logits: Tensor, true: Tensor, false: Tensor) -> Tensor:
    """Mean over rows and their true columns of -log p(column among itself and the row's false columns)."""
    against = logits.masked_fill(~false, float("-inf")).logsumexp(1, keepdim=True)
    losses = F.softplus(against - logits) * true
    counts = true.sum(1)
    return (losses.sum(1) / counts.clamp(min=1))[counts > 0].mean()


def contrast_patches(patches: Tensor, nouns: Tensor, owners: Tensor, scale: Tensor) -> Tensor:
    """Patches against the nouns, and the nouns of each frame against its patches.

    Args:
        patches: Unit features (S, 64, 128).
        nouns: Unit text features of the vocabulary's nouns (60, 128).
        owners: (S, 64), see `Batch.owners`.
    """
    logits = scale * patches @ nouns.T  # (S, 64, 60)
    to_noun = F.cross_entropy(logits[owners >= 0], owners[owners >= 0])
    present = F.one_hot(owners.clamp(min=0), len(nouns)).bool() & (owners >= 0)[..., None]
    absent = ~present & (owners != -2)[..., None]
    columns = logits.transpose(1, 2).flatten(0, 1)  # (S * 60, 64)
    return to_noun + contrast(columns, present.transpose(1, 2).flatten(0, 1), absent.transpose(1, 2).flatten(0, 1))


def compute_loss(model: CLIP, heads: Heads, tokenizer: SimpleTokenizer, batch: Batch) -> dict[str, Tensor]:
    features, patches = encode_views(model, batch)
    tokens = tokenizer([caption.text for caption in batch.captions]).to(batch.frames.device)
    texts = F.normalize(encode_captions(model, tokens), dim=-1)
    scale = model.logit_scale.exp().clamp(max=100)
    logits = scale * F.normalize(features, dim=-1) @ texts.T
    true, false = match(batch.labels, batch.said)
    single = batch.labels.axis < 0
    head_loss = heads.loss(features[single], batch.labels.noun[single], batch.labels.colour[single])
    nouns = texts[: len(NOUNS)]
    return {
        "views": contrast(logits, true, false),
        "texts": contrast(logits.T, true.T, false.T),
        "heads": 0.3 * head_loss,
        "patches": 0.15 * contrast_patches(F.normalize(patches, dim=-1), nouns, batch.owners, scale.detach()),
    }


@torch.inference_mode()
def measure(model: CLIP, tokenizer: SimpleTokenizer, scenes: int, first_seed: int = FIRST_SEED) -> dict[str, float]:
    """Top-1 shares on unseen scenes: the noun by masked crop, token masking, class-row masking; the colour by crop."""
    model.eval()
    device = model.logit_scale.device
    blocks = list(model.visual.transformer.resblocks)
    nouns = F.normalize(model.encode_text(tokenizer([f"a photo of a {noun}" for noun in NOUNS]).to(device)), dim=-1)
    hits: dict[str, list[float]] = {"crop": [], "tokens": [], "rows": [], "colour": []}
    for seed in range(first_seed, first_seed + scenes):
        scene = make_scene(seed)
        truth = torch.tensor([NOUNS[item.noun] for item in scene.objects], device=device)
        crops = torch.from_numpy(np.stack([_clean_crop(scene.image, item.mask) for item in scene.objects])).to(device)
        grids = torch.from_numpy(np.stack([to_grid(None, item.mask) for item in scene.objects])).to(device)
        by_crop = model.encode_image(normalise(crops.permute(0, 3, 1, 2)))
        frame = torch.from_numpy(squash(scene.image).copy()).permute(2, 0, 1)[None].to(device)
        shared = embed_patches(model, normalise(frame))
        for block in blocks[:-MASKED_BLOCKS]:
            shared = block(shared)
        tokens = rows = shared.expand(len(truth), -1, -1)
        row_mask = mask_class_row(grids, blocks[0].attn.num_heads)
        for block in blocks[-MASKED_BLOCKS:]:
            tokens, rows = block(mask_tokens(tokens, grids)), block(rows, attn_mask=row_mask)
        features_by = {"crop": by_crop, "tokens": read_class(model, tokens), "rows": read_class(model, rows)}
        for name, features in features_by.items():
            hits[name] += ((features @ nouns.T).argmax(1) == truth).tolist()
        for feature, item in zip(by_crop, scene.objects, strict=True):
            if item.colour:
                names = model.encode_text(tokenizer([f"{colour} {item.noun}" for colour in COLOURS]).to(device))
                said = list(COLOURS)[int((F.normalize(names, dim=-1) @ feature).argmax())]
                hits["colour"].append(said in item.colours)
    model.train()
    return {name: round(float(np.mean(values)), 3) for name, values in hits.items()}


def _clean_crop(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    return squash(np.where(mask[box][..., None], image[box], MEAN_RGB))


def train(steps: int, scenes: int, out: Path, state_file: Path, workers: int, threads: int, measure_every: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, model = load_tokenizer(), build_model().to(device)
    heads = Heads(model.visual.output_dim).to(device)
    optimiser = Optimiser([model, heads], muon_lr=2e-3, adam_lr=1.2e-3)
    parts = {"model": model, "heads": heads, "optimiser": optimiser}
    first = load_state(state_file, parts)
    views = ClipScenes(first, steps, scenes)
    data = torch.utils.data.DataLoader(views, batch_size=None, num_workers=workers, collate_fn=_same)
    progress = TrainingProgress(first, steps, "views")
    for step, batch in enumerate(data, first + 1):
        optimiser.schedule(step - 1, steps, warmup=200)
        losses = compute_loss(model, heads, tokenizer, batch.to(device))
        optimiser.step(torch.stack(list(losses.values())).sum())
        values = {name: loss.item() for name, loss in losses.items()}
        progress.add(step, len(batch.labels.noun), {**values, "scale": model.logit_scale.exp().item()})
        if step % measure_every == 0 or step == steps:
            save_state(state_file, parts, step)
            save_weights(model, out)
            print(json.dumps({"step": step, "top1": measure(model, tokenizer, scenes=60)}), flush=True)


def _same(batch: Any) -> Any:
    return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_200)
    parser.add_argument("--scenes", type=int, default=6, help="scenes per step; each gives about 20 views")
    parser.add_argument("--out", type=Path, default=WEIGHT_DIR / "open_clip_model.safetensors")
    parser.add_argument("--state", type=Path, default=Path("demo/.training/clip.pt"))
    parser.add_argument("--workers", type=int, default=0, help="processes that draw scenes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure-every", type=int, default=500, help="steps between measurements and checkpoints")
    a = parser.parse_args()
    train(a.steps, a.scenes, a.out, a.state, a.workers, a.threads, a.measure_every)


if __name__ == "__main__":
    main()
