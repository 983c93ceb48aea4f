"""SAM's image encoder says the same with our attention as with the package's."""

import copy

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT, Sam
from segment_anything.modeling.image_encoder import Attention

from ris_core.proposers import _image_attention
from ris_core.proposers._image_attention import ImageAttention
from ris_core.proposers._tiny_sam import build_tiny_sam


def with_own_positions(module: torch.nn.Module) -> torch.nn.Module:
    """Relative positions are 0 when they are made."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return module.eval().requires_grad_(False)


def make_sam() -> Sam:
    """A SAM whose image encoder is the package's, but small: a block of windows that do not fit the image, one of the whole."""
    encoder = ImageEncoderViT(
        img_size=160,
        embed_dim=48,
        depth=2,
        num_heads=3,
        out_chans=128,
        use_rel_pos=True,
        window_size=7,
        global_attn_indexes=(1,),
    )
    sam = build_tiny_sam()
    sam.image_encoder = with_own_positions(encoder)
    return sam


@pytest.mark.parametrize("cpu_scores", [1, 3 * 100**2, 2**24], ids=["one head at once", "three", "all"])
def test_image_encoder_says_the_same(monkeypatch: pytest.MonkeyPatch, cpu_scores: int):
    monkeypatch.setattr(_image_attention, "CPU_SCORES", cpu_scores)
    sam, pixels = make_sam(), torch.randn(2, 3, 160, 160)
    expected = sam.image_encoder(pixels)
    _image_attention.replace(sam)
    assert all(isinstance(block.attn, ImageAttention) for block in sam.image_encoder.blocks)
    torch.testing.assert_close(sam.image_encoder(pixels), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("shape", [(1, 64, 64, 768), (25, 14, 14, 768)], ids=["whole image", "windows"])
def test_attention_of_true_size_is_the_packages(shape: tuple[int, ...]):
    stock = with_own_positions(Attention(768, num_heads=12, use_rel_pos=True, input_size=shape[1:3]))
    patches = torch.randn(shape)
    expected = stock(patches)
    torch.testing.assert_close(
        ImageAttention(stock)(patches), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
    )


def test_weights_keep_their_names():
    sam = make_sam()
    before = copy.deepcopy(sam.state_dict())
    _image_attention.replace(sam)
    assert sam.state_dict().keys() == before.keys()
    sam.load_state_dict(before)


def test_other_image_encoders_stay_as_they_are():
    sam = build_tiny_sam()
    encoder = copy.deepcopy(sam.image_encoder)
    _image_attention.replace(sam)
    assert str(sam.image_encoder) == str(encoder)
