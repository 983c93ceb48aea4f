import pytest
import torch

from demo.tokenizer import load_tokenizer
from demo.train_clip import (
    build_model,
    contrast,
    encode_captions,
    encode_views,
    mask_class_row,
    mask_tokens,
    normalise,
    update_class,
)
from demo.views import MEAN_RGB, make_batch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return build_model().eval()


@pytest.fixture(scope="module")
def batch():
    return make_batch([10_000_001])


def test_unmasked_views_equal_open_clips_image_features(model, batch):
    with torch.inference_mode():
        features, patches = encode_views(model, batch)
        expected = model.encode_image(normalise(torch.cat([batch.crops, batch.masked])))
    assert len(features) == len(batch.labels.noun)
    assert patches.shape == (1, 64, 128)
    torch.testing.assert_close(features[: len(expected)], expected, atol=1e-4, rtol=1e-4)


def test_shortened_texts_equal_open_clips_text_features(model):
    tokens = load_tokenizer()(["dog", "the red dog to the left of the cat"])
    with torch.inference_mode():
        torch.testing.assert_close(encode_captions(model, tokens), model.encode_text(tokens), atol=1e-4, rtol=1e-4)


def test_class_update_equals_the_whole_block(model):
    block, x = model.visual.transformer.resblocks[-1], torch.randn(2, 65, 160)
    mask = mask_class_row(torch.rand(2, 64).round(), heads=5)
    with torch.inference_mode():
        expected = block(x, attn_mask=mask)[:, :1]
        torch.testing.assert_close(update_class(block, x, mask), expected, atol=1e-5, rtol=1e-4)


def test_class_token_ignores_patches_outside_the_mask(model):
    block, x = model.visual.transformer.resblocks[-1], torch.randn(1, 65, 160)
    grid = torch.zeros(1, 64)
    grid[0, :3] = 1
    changed = x.clone()
    changed[0, 10:] += 5
    mask = mask_class_row(grid, heads=5)
    with torch.inference_mode():
        torch.testing.assert_close(update_class(block, x, mask), update_class(block, changed, mask))


def test_token_mask_keeps_the_class_token():
    masked = mask_tokens(torch.ones(1, 65, 4), torch.zeros(1, 64))
    assert masked[0, 0].eq(1).all()
    assert masked[0, 1:].eq(0).all()


def test_mean_colour_becomes_zero():
    pixels = torch.from_numpy(MEAN_RGB)[None, :, None, None].expand(1, 3, 2, 2)
    assert normalise(pixels).eq(0).all()


def test_contrast_ignores_what_is_neither_true_nor_false():
    logits = torch.tensor([[4.0, 1.0, 9.0]])
    true, false = torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]])
    assert contrast(logits, true, false).item() == pytest.approx(torch.tensor(-3.0).exp().log1p().item())
