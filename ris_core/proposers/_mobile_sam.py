"""MobileSAM: the stock SAM with a TinyViT as image encoder.

Sources: [0] Zhang et al., "Faster Segment Anything", 2023; [1] Wu et al., "TinyViT", ECCV 2022, whose network is `timm`'s;
[2] the `segment_anything` package, whose prompt encoder, mask decoder and predictor are used as they are.
"""

import re
from typing import Any

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import TinyVit
from torch import Tensor, nn

IMAGE_PX = 1024
EMBEDDING_CHANNELS = 256
STRIDE = 16
UNUSED = ("norm_head.weight", "norm_head.bias", "head.weight", "head.bias")
"""Entries of a published checkpoint that nothing reads: the classifier that TinyViT was trained with."""
RENAMED = (
    (r"^stages\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample"),
    (r"^stages", "layers"),
    (r"^patch_embed\.conv1", "patch_embed.seq.0"),
    (r"^patch_embed\.conv2", "patch_embed.seq.2"),
    (r"\.conv\.weight$", ".c.weight"),
)
"""What `timm` calls entries, and what the checkpoint calls them."""


def build_mobile_sam() -> Sam:
    """A randomly initialised MobileSAM of 9.8 M parameters for 1024 px images.

    Its state dict has the names of a published checkpoint, which loads strictly.
    """
    grid = IMAGE_PX // STRIDE
    return Sam(
        image_encoder=MobileImageEncoder(),
        prompt_encoder=PromptEncoder(
            embed_dim=EMBEDDING_CHANNELS,
            image_embedding_size=(grid, grid),
            input_image_size=(IMAGE_PX, IMAGE_PX),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=EMBEDDING_CHANNELS, mlp_dim=2048, num_heads=8),
            transformer_dim=EMBEDDING_CHANNELS,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
    )


class MobileImageEncoder(TinyVit):
    """TinyViT of 5 M parameters, whose last stage does not halve the map, and SAM's neck."""

    def __init__(self) -> None:
        super().__init__(
            embed_dims=(64, 128, 160, 320), depths=(2, 2, 6, 2), num_heads=(2, 4, 5, 10), window_sizes=(7, 7, 14, 7)
        )
        self.img_size = IMAGE_PX
        del self.head
        halving: Any = self.get_submodule("stages.3.downsample.conv2.conv")
        halving.stride = (1, 1)
        channels = EMBEDDING_CHANNELS
        self.neck = nn.Sequential(
            nn.Conv2d(self.num_features, channels, 1, bias=False),
            LayerNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            LayerNorm2d(channels),
        )
        _use_published_names(self)

    def forward(self, image: Tensor) -> Tensor:
        """Embed normalised images: (B, 3, 1024, 1024) -> (B, 256, 64, 64)."""
        embedding: Tensor = self.neck(self.stages(self.patch_embed(image)))
        return embedding


def _use_published_names(net: nn.Module) -> None:
    """In what it loads and in what it gives."""
    net.register_load_state_dict_pre_hook(_take_published_names)
    net.register_load_state_dict_post_hook(_forget_biases)
    net.register_state_dict_post_hook(_give_published_names)


def _published(name: str) -> str:
    """The checkpoint's name of an entry of `MobileImageEncoder`."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _take_published_names(net: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in UNUSED:
        state.pop(prefix + name, None)
    for name, _value in (*net.named_parameters(), *net.named_buffers()):
        if prefix + _published(name) in state:
            state[prefix + name] = state.pop(prefix + _published(name))


def _forget_biases(net: nn.Module, _: object) -> None:
    """The blocks keep what they made of their attention biases until their mode is set."""
    net.train(net.training)


def _give_published_names(net: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + _published(key.removeprefix(prefix))] = state.pop(key)
