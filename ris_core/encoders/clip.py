"""CLIP as the encoder of regions and texts: the region in its scene by token masking, the region alone as a cut-out.

Source: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023, Section
3.2; [1] the `open_clip` package, whose models are used as they are.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from jaxtyping import Float
from numpy import ndarray
from open_clip.transformer import VisionTransformer
from torch import Tensor

from ris_core.encoders._views import QUIRKS, Views
from ris_core.errors import BadInput, UnknownName
from ris_core.types import Image, Proposals
from ris_core.weights import Store

TEXTS_KEPT = 10_000
"""How many texts' features are remembered."""


class Component:
    """A CLIP whose image tower is a vision transformer with a class token.

    Args:
        store: Where the weights are.
        weights: Name of the weights.
        model: `open_clip`'s name of the model, such as "ViT-B-16-quickgelu"; empty if the weights are a folder that
            brings its own configuration.
        device: A torch device, or "auto" for a GPU if there is one.
        masked_blocks: Before each of this many last blocks the patch tokens are masked, as in [0]; at least 1.
        context_margin: How much larger a cut-out's box is on each side, as a share of the box's side, at least 0.
        batch_size: How many regions or texts go through the model at once.
        quirks: Behaviours of the released code to reproduce, keys of `QUIRKS`.

    Raises:
        UnknownName: If there is no such model or quirk.
        WeightsMissing: If the weights are not here and cannot be downloaded.
        BadInput: If the image tower is another one, or a setting is out of range.
    """

    def __init__(
        self,
        store: Store,
        weights: str,
        model: str = "",
        device: str = "cpu",
        masked_blocks: int = 3,
        context_margin: float = 0.0,
        batch_size: int = 64,
        quirks: Sequence[str] = (),
    ) -> None:
        _check_quirks(quirks)
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device, self.batch_size = torch.device(device), batch_size
        self.net, self.tokenizer = _load(store.locate(weights), model)
        self.net.to(self.device).eval().requires_grad_(False)
        self.visual = _vision_transformer(self.net, model or weights)
        depth = len(self.visual.transformer.resblocks)
        if not 1 <= masked_blocks <= depth:
            raise BadInput(
                f"masked_blocks is {masked_blocks}; {model or weights} has {depth} blocks: give 1 to {depth}."
            )
        if context_margin < 0:
            raise BadInput(f"context_margin is {context_margin}; give 0 or more.")
        self.masked_blocks = masked_blocks
        self.views = _views(self.visual, context_margin, frozenset(quirks))
        self.logit_scale = self.net.logit_scale.exp().item()
        self.fingerprint = {
            "component": "clip",
            "model": model,
            "weights": weights,
            "digest": store.digest(weights),
            "masked_blocks": masked_blocks,
            "context_margin": context_margin,
            "quirks": sorted(quirks),
            "preprocessing": [self.views.size_px, self.views.mean, self.views.std, self.views.interpolation],
        }
        self._remembered: OrderedDict[str, Float[ndarray, "e"]] = OrderedDict()

    @torch.inference_mode()
    def encode(self, image: Image, proposals: Proposals) -> dict[str, Float[ndarray, "n e"]]:
        """Features of each proposal, float32 (N, E), not normalised.

        "global" sees the whole image and, in the last blocks, only the patches of the region; "local" sees the cut-out.
        """
        if not len(proposals):
            nothing = np.zeros((0, self.visual.output_dim), np.float32)
            return {"global": nothing, "local": nothing.copy()}
        whole = self.views.whole(image.pixels).to(self.device)
        cut_outs = self.views.cut_outs(image.pixels, proposals.masks)
        return {
            "global": self._gather(self._mask_tokens(whole, self.views.grids(proposals.masks))),
            "local": self._gather(self.visual(part.to(self.device)) for part in _stacks(cut_outs, self.batch_size)),
        }

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Float[ndarray, "t e"]:
        """Text features, float32 (T, E), not normalised; a text that is too long is cut, its end token kept."""
        new = [text for text in dict.fromkeys(texts) if text not in self._remembered]
        for start in range(0, len(new), self.batch_size):
            part = new[start : start + self.batch_size]
            features = self.net.encode_text(self.tokenizer(part).to(self.device)).float().cpu().numpy()
            self._remembered.update(zip(part, features, strict=True))
        for text in texts:
            self._remembered.move_to_end(text)
        found = [self._remembered[text] for text in texts]
        while len(self._remembered) > TEXTS_KEPT:
            self._remembered.popitem(last=False)
        return np.stack(found) if found else np.zeros((0, self.visual.output_dim), np.float32)

    def _mask_tokens(
        self, whole: Float[Tensor, "1 3 size size"], grids: Float[Tensor, "n cells"]
    ) -> Iterator[Float[Tensor, "b e"]]:
        """[0] Eq. 2: patch tokens times the region's share of the patch, before each of the last blocks."""
        blocks = list(self.visual.transformer.resblocks)
        shared = self.visual._embeds(whole)  # (1, 1 + cells, width)
        for block in blocks[: -self.masked_blocks]:
            shared = block(shared)
        for grid in grids.to(self.device).split(self.batch_size):
            keep = torch.cat([grid.new_ones(len(grid), 1), grid], dim=1)[:, :, None]  # the class token is kept
            tokens = shared.expand(len(grid), -1, -1)
            for block in blocks[-self.masked_blocks :]:
                tokens = block(tokens * keep)
            yield self.visual._pool(tokens)[0] @ self.visual.proj

    def _gather(self, parts: Iterable[Float[Tensor, "b e"]]) -> Float[ndarray, "n e"]:
        return torch.cat([part.float().cpu() for part in parts]).numpy()


def _check_quirks(quirks: Sequence[str]) -> None:
    unknown = sorted(set(quirks) - set(QUIRKS))
    if unknown:
        raise UnknownName(f"The encoder 'clip' has no quirk {', '.join(unknown)}. Available: {', '.join(QUIRKS)}.")


def _load(path: Path, model: str) -> tuple[Any, Any]:
    """The model on the CPU in float32, and its tokenizer."""
    if path.is_dir():
        if model:
            raise BadInput(
                f"The weights {path.name!r} bring their own configuration; leave the model empty, not {model!r}."
            )
        name = f"local-dir:{path}"
        return open_clip.create_model(name, require_pretrained=True), open_clip.get_tokenizer(name, **_merges(path))
    if model not in open_clip.list_models():
        raise UnknownName(
            f"No CLIP model named {model!r}. Available: open_clip.list_models(), such as 'ViT-B-16-quickgelu'."
        )
    return open_clip.create_model(model, pretrained=str(path), require_pretrained=True), open_clip.get_tokenizer(model)


def _merges(folder: Path) -> dict[str, str]:
    """The tokenizer's file of merges, which the configuration names relative to its folder."""
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    settings = config["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {})
    return {"bpe_path": str(folder / settings["bpe_path"])} if "bpe_path" in settings else {}


def _vision_transformer(net: Any, name: str) -> VisionTransformer:
    visual = net.visual
    if not isinstance(visual, VisionTransformer) or visual.pool_type != "tok" or visual.attn_pool is not None:
        raise BadInput(
            f"The image tower of {name} is a {type(visual).__name__} without a class token to read; token masking needs "
            "a vision transformer with one, such as ViT-B-16-quickgelu."
        )
    if visual.grid_size[0] != visual.grid_size[1]:
        raise BadInput(
            f"The image tower of {name} sees {visual.grid_size} patches (H, W); give a model of square images."
        )
    return visual


def _views(visual: VisionTransformer, context_margin: float, quirks: frozenset[str]) -> Views:
    own = visual.preprocess_cfg
    return Views(
        size_px=visual.image_size[0],
        grid=visual.grid_size[0],
        mean=tuple(own["mean"]),
        std=tuple(own["std"]),
        interpolation=own["interpolation"],
        context_margin=context_margin,
        quirks=quirks,
    )


def _stacks(images: Iterator[Float[Tensor, "3 size size"]], size: int) -> Iterator[Float[Tensor, "b 3 size size"]]:
    """Collect images into batches."""
    batch: list[Tensor] = []
    for image in images:
        batch.append(image)
        if len(batch) == size:
            yield torch.stack(batch)
            batch = []
    if batch:
        yield torch.stack(batch)
