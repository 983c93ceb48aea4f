"""CLIP as the encoder of regions and texts: regions in their scene, alone, both fused, and patches that words find.

Sources: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023;
[1] Liu and Li, "Hybrid Global-Local Representation with Augmented Spatial Guidance", CVPR 2025; [2] Bousselham et al.,
"Grounding Everything", CVPR 2024; [3] the `open_clip` package, whose models are used as they are.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor

from ris_core.arrays import Array
from ris_core.encoders import _gem, _open_clip
from ris_core.encoders._resnet import ResNetTower
from ris_core.encoders._texts import TextTower
from ris_core.encoders._views import Views, stacks
from ris_core.encoders._vit import VisionTower
from ris_core.errors import BadInput, UnknownName
from ris_core.runtime.devices import check_precision, computing_in, pick_device
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals

QUIRKS = {
    "Q-NORM": "normalise with ImageNet's mean and deviation, not the model's own",
    "Q-AA": "shrink bilinearly without anti-aliasing, not with it",
    "Q-FILL": "fill around a region with a warm grey, not the mean colour",
    "Q-ROUNDTRIP": "view the image scaled to a short side of 800 px (and back, for the cut-outs), not its own pixels",
    "Q-FSBOX": "box a mask by its centre of mass and extent, cut down to integers, not tightly",
    "Q-VANISH": "sample a mask at the centres of the grid's cells, not average it over them",
    "Q-NOCROP": "fuse regions in the whole picture, not in a frame around each",
    "Q-NONZERO": "let the class token see every patch that a mask touches, not those that it covers well",
    "Q-GL-ATTN": "ignore the mask in the global branch's attention, not restrict the class token to it",
    "Q-LAST": "end attention masking of local images before the last block, not after it",
    "Q-LONG": "refuse a text of more tokens than the model reads, not cut it",
}
"""Behaviours of the released code that can be switched on, and what is done otherwise."""
FUSED = ("hybrid_G2L", "hybrid_L2G")
"""[1]'s features that see the blurred images too."""
HYBRID = (*FUSED, "hybrid_attn_masking", "hybrid_token_masking", "hybrid_crop")
RESNET_FEATURES = ("global", "local")
VIT_FEATURES = (*RESNET_FEATURES, "global_attention", *HYBRID, "heat")


class ClipEncoder:
    """A CLIP whose image tower is a vision transformer with a class token, or a ResNet.

    The features, float32, (N, E) and not normalised but for the last one:

        global            the region in its scene: tokens [0] Eq. 2, or a ResNet's feature map [0] Eq. 1, masked
        global_attention  the same by attention of the class token to the region alone; not of a ResNet
        local             the region cut out
        hybrid_…          [1]'s streams: G2L, L2G, attn_masking, token_masking, crop; not of a ResNet
        heat              [2]'s patches of the whole image, (g, g, E), each of length 1; not of a ResNet

    Args:
        store: Where the weights are.
        weights: Name of the weights.
        model: `open_clip`'s name of the model, such as "ViT-B-16-quickgelu"; empty if the weights are a folder that
            brings its own configuration.
        features: Names of the features to make.
        device: A torch device, or "auto" for a GPU if there is one.
        masked_blocks: A vision transformer's blocks that are masked: how many last ones, or their indices from 0.
        context_margin: How much larger a cut-out's box is on each side, as a share of the box's side, at least 0.
        frame_margin: The same of the frame in which [1]'s regions are shown.
        heat_px: Side of the image for "heat"; twice the model's own by default.
        heat_blocks: How many last blocks ground; half of them by default, as in [2].
        heat_rounds: Times that [2] draws alike tokens together.
        heat_temperature: Factor on cosines in [2]; from the tokens' norms by default.
        unit_map: Whether the vectors of a ResNet's map are scaled to length 1 before it is masked, as in [0].
        masked_query: Whether a ResNet's pool asks with the mean of the masked map, as in [0], or of the whole one.
        batch_size: How many regions or texts go through the model at once.
        precision: "fp32", or "bf16": products of image towers in bfloat16, which GPUs do several times faster. Texts, norms and
            scores stay in float32.
        quirks: Behaviours of the released code to reproduce, keys of `QUIRKS`.

    Raises:
        UnknownName: If there is no such model or quirk.
        WeightsMissing: If the weights are not here and cannot be downloaded.
        BadInput: If the image tower is another one or lacks what is asked for, or a setting is out of range.
    """

    def __init__(
        self,
        store: WeightStore,
        weights: str,
        model: str = "",
        features: Sequence[str] = ("global", "local"),
        device: str = "cpu",
        masked_blocks: int | Sequence[int] | None = None,
        context_margin: float = 0.0,
        frame_margin: float = 1.0,
        heat_px: int | None = None,
        heat_blocks: int | None = None,
        heat_rounds: int = 1,
        heat_temperature: float | None = None,
        unit_map: bool = True,
        masked_query: bool = True,
        batch_size: int = 64,
        precision: str = "fp32",
        quirks: Sequence[str] = (),
    ) -> None:
        _check(quirks, context_margin=context_margin, frame_margin=frame_margin)
        name = model or weights
        self.device, self.batch_size, self.quirks = pick_device(device), batch_size, frozenset(quirks)
        self.precision = check_precision(precision)
        net, tokenizer = _open_clip.load(store.locate(weights), model)
        net.to(self.device)
        self.tower: VisionTower | ResNetTower
        if isinstance(net.visual, ModifiedResNet):
            _refuse(name, masked_blocks=masked_blocks, heat_px=heat_px, heat_blocks=heat_blocks)
            self.features = _open_clip.known_features(features, RESNET_FEATURES, name)
            self.tower = ResNetTower(net.visual, unit_map, masked_query)
            asks: dict[str, object] = {"unit_map": unit_map, "masked_query": masked_query}
        else:
            self.features = _open_clip.known_features(features, VIT_FEATURES, name)
            self.tower = VisionTower(net.visual, masked_blocks, name)
            self.grounding = _gem.Grounding.of(self.tower, heat_px, heat_blocks, heat_rounds, heat_temperature)
            asks = {"masked_blocks": list(self.tower.masked), "grounding": list(self.grounding)}
        self.views = _views(net.visual, self.tower, context_margin, frame_margin, self.quirks, str(self.device))
        self.width, (self.logit_scale, self.logit_bias) = net.visual.output_dim, _open_clip.read_logits(net)
        self.texts = TextTower(net, tokenizer, self.device, batch_size, "Q-LONG" in self.quirks, self.width)
        self.fingerprint = {
            "component": "clip",
            "model": model,
            "weights": weights,
            "digest": store.digest(weights),
            "features": self.features,
            **asks,
            "context_margin": context_margin,
            "frame_margin": frame_margin,
            **({} if precision == "fp32" else {"precision": precision}),
            "quirks": sorted(quirks),
            "preprocessing": [self.views.size_px, self.views.mean, self.views.std, self.views.interpolation],
        }

    @property
    def words(self) -> tuple[str, ...]:
        """The usual words of its language, the most usual first."""
        return self.texts.words

    @torch.inference_mode()
    def encode(self, image: Image, proposals: Proposals) -> dict[str, Float[Array, "..."]]:
        """The features of an image's proposals by name; without proposals they are empty."""
        if not len(proposals):
            shapes = {name: (0, 0, self.width) if name == "heat" else (0, self.width) for name in self.features}
            return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        tower, pixels, stack = self.tower, image.pixels, np.asarray(proposals.masks)
        tensors: dict[str, Tensor] = {}
        with computing_in(self.precision, self.device):
            if "local" in self.features:
                cut_outs = stacks(self.views.cut_outs(pixels, stack), self.batch_size)
                tensors["local"] = torch.cat([tower.plain(part) for part in cut_outs])
            if isinstance(tower, ResNetTower):
                if "global" in self.features:
                    shared = tower.early(self.views.whole(pixels))
                    tensors["global"] = self._by_batch(partial(tower.mask_map, shared), self.views.grids(stack))
            else:
                tensors |= self._encode_by_blocks(tower, pixels, stack)
        return {name: tensors[name].float().cpu().numpy() for name in self.features}

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Float[Array, "t e"]:
        """Text features, float32 (T, E), not normalised; a text that is too long is cut, its end token kept.

        Raises:
            BadExpression: If a text is too long and quirk Q-LONG is on.
        """
        return self.texts.encode(texts)

    def _encode_by_blocks(
        self, tower: VisionTower, pixels: UInt8[Array, "h w 3"], stack: Bool[Array, "n h w"]
    ) -> dict[str, Tensor]:
        """The features that need the inside of a vision transformer."""
        tensors: dict[str, Tensor] = {}
        if {"global", "global_attention"} & set(self.features):
            shared, share = tower.early(self.views.whole(pixels)), self.views.grids(stack)
            if "global" in self.features:
                tensors["global"] = self._by_batch(partial(tower.mask_tokens, shared), share)
            if "global_attention" in self.features:
                inside = (
                    torch.ones_like(share, dtype=torch.bool) if "Q-GL-ATTN" in self.quirks else self.views.inside(share)
                )
                tensors["global_attention"] = self._by_batch(partial(tower.mask_attention, shared), inside)
        if set(HYBRID) & set(self.features):
            tensors |= self._encode_hybrid(tower, pixels, stack)
        if "heat" in self.features:
            inputs = _gem.inputs(tower, self.views.square(pixels, self.grounding.px))
            patches = _gem.ground(tower, inputs, self.grounding)[1:]
            side = self.grounding.px // tower.patch_px
            tensors["heat"] = F.normalize(patches, dim=-1).unflatten(0, (side, side))
        return tensors

    def _encode_hybrid(
        self, tower: VisionTower, pixels: UInt8[Array, "h w 3"], stack: Bool[Array, "n h w"]
    ) -> dict[str, Float[Tensor, "n e"]]:
        """[1]'s features; its two streams are the local and the blurred images."""
        batches: dict[str, list[Tensor]] = {name: [] for name in HYBRID if name in self.features}
        grids = self.views.framed_grids(stack)
        local_images = stacks(self.views.framed(pixels, stack), self.batch_size)
        blurred_images = stacks(self.views.blurred(pixels, stack), self.batch_size)
        for share in grids.split(self.batch_size):
            inside, local = self.views.inside(share), tower.early(next(local_images))
            if set(FUSED) & set(batches):
                blurred = tower.early(next(blurred_images))
            for name, parts in batches.items():
                if name == "hybrid_G2L":
                    parts.append(tower.fuse_into_local(local, blurred, share, inside))
                elif name == "hybrid_L2G":
                    parts.append(tower.fuse_into_global(local, blurred, inside))
                elif name == "hybrid_attn_masking":
                    parts.append(tower.mask_attention(local, inside, skips_last="Q-LAST" in self.quirks))
                elif name == "hybrid_token_masking":
                    parts.append(tower.mask_tokens(local, share))
                else:
                    parts.append(tower.finish(local))
        return {name: torch.cat(parts) for name, parts in batches.items()}

    def _by_batch(
        self,
        encode: Callable[[Tensor], Float[Tensor, "b e"]],
        grids: Float[Tensor, "n cells"] | Bool[Tensor, "n cells"],
    ) -> Float[Tensor, "n e"]:
        return torch.cat([encode(part) for part in torch.split(grids, self.batch_size)])


def _check(quirks: Sequence[str], **at_least_zero: float) -> None:
    unknown = sorted(set(quirks) - set(QUIRKS))
    if unknown:
        raise UnknownName(f"The encoder 'clip' has no quirk {', '.join(unknown)}. Available: {', '.join(QUIRKS)}.")
    for setting, value in at_least_zero.items():
        if value < 0:
            raise BadInput(f"{setting} is {value}; give 0 or more.")


def _refuse(name: str, **of_transformers: object) -> None:
    unusable = sorted(setting for setting, value in of_transformers.items() if value is not None)
    if unusable:
        raise BadInput(
            f"The image tower of {name} is a ResNet, and {', '.join(unusable)} only mean something to a vision transformer. "
            f"Leave them out, or give a model such as ViT-B-16-quickgelu. Features of a ResNet: {', '.join(RESNET_FEATURES)}."
        )


def _views(
    visual: Any,
    tower: VisionTower | ResNetTower,
    context_margin: float,
    frame_margin: float,
    quirks: frozenset[str],
    device: str,
) -> Views:
    own = visual.preprocess_cfg
    return Views(
        size_px=tower.size_px,
        grid=tower.grid,
        mean=tuple(own["mean"]),
        std=tuple(own["std"]),
        interpolation=own["interpolation"],
        context_margin=context_margin,
        frame_margin=frame_margin,
        quirks=quirks,
        device=device,
    )


Component = ClipEncoder
"""What `ris_core.profiles.catalog` makes of this file's name."""
