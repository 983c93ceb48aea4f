"""The `demo` profile's promptable segmenter: the stock SAM with a small convolutional image encoder.

Source: [0] Kirillov et al., "Segment Anything", ICCV 2023; [1] the `segment_anything` package, whose prompt encoder, mask
decoder and mask generator are used as they are.
"""

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

IMAGE_PX = 256
EMBEDDING_CHANNELS = 128
STRIDE = 16
PIXEL_MEAN = [123.675, 116.28, 103.53]
PIXEL_STD = [58.395, 57.12, 57.375]


def build_tiny_sam() -> Sam:
    """A randomly initialised SAM of about 2 M parameters for 256 px images."""
    grid = IMAGE_PX // STRIDE
    return Sam(
        image_encoder=TinyImageEncoder(),
        prompt_encoder=PromptEncoder(
            embed_dim=EMBEDDING_CHANNELS,
            image_embedding_size=(grid, grid),
            input_image_size=(IMAGE_PX, IMAGE_PX),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=EMBEDDING_CHANNELS, mlp_dim=512, num_heads=8),
            transformer_dim=EMBEDDING_CHANNELS,
            iou_head_depth=3,
            iou_head_hidden_dim=128,
        ),
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
    )


class TinyImageEncoder(nn.Module):
    """Convolutions of 24, 48, 96 and 128 channels, then two attention blocks at stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.img_size = IMAGE_PX
        c1, c2, c3, c4 = 24, 48, 96, EMBEDDING_CHANNELS
        self.stem = nn.Sequential(
            _down(3, c1), _down(c1, c2), _Residual(c2), _down(c2, c3), _Residual(c3), _Residual(c3), _down(c3, c4)
        )
        side = IMAGE_PX // STRIDE
        self.position = nn.Parameter(torch.zeros(1, side * side, c4))
        self.blocks = nn.Sequential(_Attention(c4), _Attention(c4))
        self.neck = nn.Sequential(nn.Conv2d(c4, c4, 3, padding=1, bias=False), nn.GroupNorm(1, c4))

    def forward(self, image: Tensor) -> Tensor:
        """Embed normalised images: (B, 3, 256, 256) -> (B, 128, 16, 16)."""
        x = self.stem(image)
        b, c, h, w = x.shape
        tokens = self.blocks(x.flatten(2).transpose(1, 2) + self.position)  # (B, 256, C)
        embedding: Tensor = self.neck(x + tokens.transpose(1, 2).reshape(b, c, h, w))
        return embedding


def _down(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False), nn.GroupNorm(8, c_out), nn.GELU())


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(8, channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(8, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x + self.body(x))


class _Attention(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        x = x + self.out(attended)
        output: Tensor = x + self.mlp(self.norm2(x))
        return output
