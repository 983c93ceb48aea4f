"""Towers that an attention pool reads, such as SigLIP 2's: the pool's query sees only the patches under a mask.

One pass of the tower serves all masks of an image. For a mask of everything the feature is the model's own.

Sources: [0] Xiao et al., "TextRegion: Text-Aligned Region Tokens from Frozen Image-Text Models", TMLR 2025, whose windows and
removal of global patches are left out; [1] Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023; [2] the packages
`open_clip` and `timm`, whose models are used as they are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from open_clip.timm_model import TimmModel
from timm.layers.attention_pool import AttentionPoolLatent
from torch import Tensor

from ris_core.arrays import Array
from ris_core.encoders import _open_clip
from ris_core.encoders._texts import TextTower
from ris_core.encoders._views import Views, stacks
from ris_core.encoders._vit import VisionTower
from ris_core.errors import BadInput
from ris_core.runtime.devices import check_precision, computing_in, pick_device
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals

FEATURES = ("global", "local")


class PooledEncoder:
    """An image-text model of `open_clip` whose image vector an attention pool makes: SigLIP, SigLIP 2, PE-Core, CoCa.

    The features, float32 (N, E), not normalised:

        global   the region in its scene: the pool's query sees the patches under the mask, and class or register tokens where the
                 pool reads them too; zeros for a mask without a pixel
        local    the region cut out, which needs a pass of the tower each

    Args:
        store: Where the weights are.
        weights: Name of the weights.
        model: `open_clip`'s name of the model, such as "ViT-B-16-SigLIP2"; empty if the weights are a folder that brings its own
            configuration, and its tokenizer's files where the tokenizer is one of the package transformers.
        features: Names of the features to make.
        device: A torch device, or "auto" for a GPU if there is one.
        context_margin: How much larger a cut-out's box is on each side, as a share of the box's side, at least 0.
        batch_size: How many regions or texts go through the model at once.
        precision: "fp32", or "bf16": products of the image tower in bfloat16, which GPUs do several times faster. Texts and scores
            stay in float32.

    Attributes:
        logit_scale, logit_bias: Of the model's own logit, scale * cosine + bias; a model of a softmax has the bias 0. A sigmoid of
            the logit is a SigLIP's probability that image and text belong together.

    Raises:
        UnknownName: If there is no such model.
        WeightsMissing: If the weights are not here and cannot be downloaded.
        BadInput: If the image tower is another one, or a setting is out of range.
    """

    def __init__(
        self,
        store: WeightStore,
        weights: str,
        model: str = "",
        features: Sequence[str] = FEATURES,
        device: str = "cpu",
        context_margin: float = 0.0,
        batch_size: int = 64,
        precision: str = "fp32",
    ) -> None:
        name = model or weights
        if context_margin < 0:
            raise BadInput(f"context_margin is {context_margin}; give 0 or more.")
        self.features = _open_clip.known_features(features, FEATURES, name)
        self.device, self.batch_size = pick_device(device), batch_size
        self.precision = check_precision(precision)
        net, tokenizer = _open_clip.load(store.locate(weights), model, reads="attention pool")
        net.to(self.device)
        self.tower = (
            TimmTower(net.visual, name) if isinstance(net.visual, TimmModel) else OpenClipTower(net.visual, name)
        )
        own = net.visual.preprocess_cfg | _published_preprocessing(model)
        self.views = Views(
            size_px=self.tower.size_px,
            grid=self.tower.grid,
            mean=tuple(own["mean"]),
            std=tuple(own["std"]),
            interpolation=own["interpolation"],
            context_margin=context_margin,
            device=str(self.device),
        )
        self.width = self._measure_width()
        self.texts = TextTower(net, tokenizer, self.device, batch_size, refuses_long=False, width=self.width)
        self.logit_scale, self.logit_bias = _open_clip.read_logits(net)
        self.fingerprint = {
            "component": "pooled",
            "model": model,
            "weights": weights,
            "digest": store.digest(weights),
            "features": self.features,
            "context_margin": context_margin,
            **({} if precision == "fp32" else {"precision": precision}),
            "preprocessing": [self.views.size_px, self.views.mean, self.views.std, self.views.interpolation],
        }

    @property
    def words(self) -> tuple[str, ...]:
        """The usual words of its language, the most usual first; none where its tokenizer does not tell."""
        return self.texts.words

    @torch.inference_mode()
    def encode(self, image: Image, proposals: Proposals) -> dict[str, Float[Array, "..."]]:
        """The features of an image's proposals by name; without proposals they are empty."""
        if not len(proposals):
            return {name: np.zeros((0, self.width), np.float32) for name in self.features}
        pixels, stack = image.pixels, np.asarray(proposals.masks)
        tensors: dict[str, Tensor] = {}
        with computing_in(self.precision, self.device):
            if "global" in self.features:
                tokens = self.tower.tokens(self.views.whole(pixels))
                inside = self.views.inside(self.views.grids(stack))
                tensors["global"] = torch.cat(
                    [_pool(self.tower, tokens, part) for part in inside.split(self.batch_size)]
                )
            if "local" in self.features:
                cut_outs = stacks(self.views.cut_outs(pixels, stack), self.batch_size)
                tensors["local"] = torch.cat([self.tower.plain(part) for part in cut_outs])
        return {name: tensors[name].float().cpu().numpy() for name in self.features}

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Float[Array, "t e"]:
        """Text features, float32 (T, E), not normalised; a text that is too long is cut."""
        return self.texts.encode(texts)

    @torch.inference_mode()
    def _measure_width(self) -> int:
        """E: not every tower tells it."""
        black = torch.zeros(1, 3, self.tower.size_px, self.tower.size_px, device=self.device)
        return self.tower.plain(black).shape[1]


class TimmTower:
    """A vision transformer of `timm` with its latent attention pool.

    Args:
        visual: The tower, in evaluation.
        name: Of the model, for messages.

    Attributes:
        size_px: Side of the model's input.
        grid: Patches per side.

    Raises:
        BadInput: If its pool is of another kind, or its images are not square.
    """

    def __init__(self, visual: Any, name: str) -> None:
        pool = getattr(visual.trunk, "attn_pool", None)
        if type(pool) is not AttentionPoolLatent:
            raise BadInput(
                f"The image tower of {name} has {type(pool).__name__} for an attention pool; give a model with timm's "
                "AttentionPoolLatent, such as ViT-B-16-SigLIP2."
            )
        self.visual, self.trunk, self.attn_pool = visual, visual.trunk, pool
        self.size_px, self.grid = _square(visual.image_size, name), _square(visual.trunk.patch_embed.grid_size, name)

    def plain(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b e"]:
        """The model's own features, not normalised."""
        features: Float[Tensor, "b e"] = self.visual(images)
        return features

    def tokens(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b tokens width"]:
        """What the pool reads: prefix tokens, if it does, and the patches."""
        tokens: Float[Tensor, "b tokens width"] = self.trunk.forward_features(images)
        reads_prefix = getattr(self.trunk, "pool_include_prefix", True)  # timm's Eva always does
        return tokens if reads_prefix else tokens[:, self.trunk.num_prefix_tokens :]

    def pool(self, tokens: Float[Tensor, "1 tokens width"], seen: Bool[Tensor, "b tokens"]) -> Float[Tensor, "b e"]:
        """The features where the query sees only some of the tokens, at least one."""
        pool, heads = self.attn_pool, (self.attn_pool.num_heads, self.attn_pool.head_dim)
        if pool.pos_embed is not None:
            tokens = tokens + pool.pos_embed
        query = pool.q_norm(pool.q(pool.latent).unflatten(-1, heads).transpose(1, 2))  # (1, heads, latents, d)
        key, value = pool.kv(tokens).unflatten(-1, (2, *heads)).permute(2, 0, 3, 1, 4)  # (1, heads, tokens, d)
        query, key, value = (part.expand(len(seen), -1, -1, -1) for part in (query, pool.k_norm(key), value))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None])
        states = pool.proj(attended.transpose(1, 2).flatten(2))
        if pool.mlp is not None:
            states = states + pool.mlp(pool.norm(states))
        vector = states[:, 0] if pool.pool == "token" else states.mean(1)
        features: Float[Tensor, "b e"] = self.visual.head(self.trunk.head(self.trunk.fc_norm(vector)))
        return features


class OpenClipTower:
    """A vision transformer of `open_clip` with its attentional pool, as in CoCa; arguments and methods as of `TimmTower`."""

    def __init__(self, visual: Any, name: str) -> None:
        self.visual, self.inside = visual, VisionTower(visual, None, name)
        self.size_px, self.grid = self.inside.size_px, self.inside.grid

    def plain(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b e"]:
        """The model's own features, not normalised."""
        answer = self.visual(images)
        features: Float[Tensor, "b e"] = answer[0] if isinstance(answer, tuple) else answer  # CoCa's tokens beside them
        return features

    def tokens(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b tokens width"]:
        """The class token and the patches."""
        tokens = self.inside.embed(images)
        for block in self.inside.blocks:
            tokens = self.inside.run(block, tokens)
        return tokens

    def pool(self, tokens: Float[Tensor, "1 tokens width"], seen: Bool[Tensor, "b tokens"]) -> Float[Tensor, "b e"]:
        """The features where the queries see only some of the tokens, at least one."""
        visual, pool = self.visual, self.visual.attn_pool
        is_first = visual.pool_type == "tok"  # the other queries feed CoCa's captions
        queries = pool.ln_q(pool.query[:1] if is_first else pool.query).expand(len(seen), -1, -1)
        keys = pool.ln_k(tokens).expand(len(seen), -1, -1)
        forbidden = torch.zeros_like(seen, dtype=tokens.dtype).masked_fill(~seen, float("-inf"))
        states = visual.ln_post(pool.attn(queries, keys, keys, key_padding_mask=forbidden, need_weights=False)[0])
        features: Float[Tensor, "b e"] = (states[:, 0] if is_first else states[:, 1:].mean(1)) @ visual.proj
        return features


def _pool(
    tower: TimmTower | OpenClipTower, tokens: Float[Tensor, "1 tokens width"], inside: Bool[Tensor, "b cells"]
) -> Float[Tensor, "b e"]:
    """The features of masks by the patches inside them; tokens that are no patch are always seen."""
    prefix = tokens.shape[1] - inside.shape[1]
    is_empty = ~inside.any(1, keepdim=True)
    seen = torch.cat([inside.new_ones(len(inside), prefix), inside | is_empty], dim=1)
    return tower.pool(tokens, seen).masked_fill(is_empty, 0)


def _published_preprocessing(model: str) -> dict[str, Any]:
    """Mean, deviation and interpolation that a model's published weights were trained with, which a file of weights does not say."""
    configurations = [
        open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)
    ]
    names = ("mean", "std", "interpolation")
    distinct = {tuple(configuration.get(name) for name in names) for configuration in configurations}
    if len(distinct) != 1:
        return {}
    return {name: value for name, value in zip(names, distinct.pop(), strict=True) if value}


def _square(size_hw: tuple[int, int], name: str) -> int:
    if size_hw[0] != size_hw[1]:
        raise BadInput(f"The image tower of {name} sees {tuple(size_hw)} (H, W); give a model of square images.")
    return int(size_hw[0])


Component = PooledEncoder
"""What `ris_core.profiles.catalog` makes of this file's name."""
