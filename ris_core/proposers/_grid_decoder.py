"""SAM's mask decoder asked at many single points of one image, with less arithmetic than one prompt after the other.

What the package's decoder computes anew for each point is computed once, or is multiplied in another order; nothing is approximated:

- The image is the same for all points until the first layer has changed it, so that layer's projections of it are made once.
- A point has few tokens T, the image many N. In `(x W) t` the tokens are multiplied by W, and not the image: T x C x C, not N x C x C.
- The predicted IoU needs the tokens only. Masks that it fails are not made.
- A transposed convolution whose stride is its size is a matrix product of each pixel. Channels stay last from the attention to the logits.

Source: [0] Kirillov et al., "Segment Anything", ICCV 2023, appendix A; [1] `MaskDecoder` and `TwoWayTransformer` of the
`segment_anything` package, whose modules and weights are used.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from segment_anything.modeling import Sam
from torch import Tensor, nn


class ImageSide(NamedTuple):
    """What the decoder needs of an image, for any point.

    Attributes:
        pixels: The image's embedding with that of "no mask given", (1, N, C).
        place: The embedding of the pixels' places, (1, N, C).
        keys, values: Of the first layer's attention of tokens to the image, (1, heads, N, c).
        queries: Of the first layer's attention of the image to tokens, (1, heads, N, c).
    """

    pixels: Float[Tensor, "1 n c"]
    place: Float[Tensor, "1 n c"]
    keys: Float[Tensor, "1 heads n d"]
    values: Float[Tensor, "1 heads n d"]
    queries: Float[Tensor, "1 heads n d"]


def prepare(net: Sam, features: Float[Tensor, "1 c y x"]) -> ImageSide:
    """Do what is the same for all points."""
    first: Any = net.mask_decoder.transformer.layers[0]
    none_given: Tensor = net.prompt_encoder.no_mask_embed.weight[:, :, None, None]
    pixels = _to_rows(features + none_given)
    place = _to_rows(net.prompt_encoder.get_dense_pe())
    to_image, to_tokens = first.cross_attn_token_to_image, first.cross_attn_image_to_token
    return ImageSide(
        pixels,
        place,
        _split(to_image, to_image.k_proj(pixels + place)),
        _split(to_image, to_image.v_proj(pixels)),
        _split(to_tokens, to_tokens.q_proj(pixels + place)),
    )


def decode(
    net: Sam, image: ImageSide, points_xy: Float[Tensor, "b 2"], least_iou: float
) -> tuple[Float[Tensor, "k y x"], Float[Tensor, "k"]]:
    """Logits and predicted IoU of those of the three masks of each of B points whose predicted IoU is above a limit.

    Args:
        points_xy: x, y in pixels as the image encoder saw them.
        least_iou: 0 keeps all masks, as the package's generator does.
    """
    signs = torch.ones(len(points_xy), 1, device=points_xy.device)
    prompt, _ = net.prompt_encoder(points=(points_xy[:, None], signs), boxes=None, masks=None)
    decoder = net.mask_decoder
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens, pixels = _attend(
        decoder.transformer, image, torch.cat([own.expand(len(prompt), *own.shape), prompt], dim=1)
    )
    predicted_iou = decoder.iou_prediction_head(tokens[:, 0])[:, 1:]
    is_good = (predicted_iou > least_iou) | (least_iou == 0)
    asked = is_good.any(1)
    kernels = [mlp(tokens[asked, i + 1]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    size_yx = net.prompt_encoder.image_embedding_size
    logits = _upscale(decoder.output_upscaling, pixels[asked], torch.stack(kernels[1:], dim=2), size_yx)
    return logits[is_good[asked]], predicted_iou[is_good]


def _attend(
    transformer: Any, image: ImageSide, prompt: Float[Tensor, "b t c"]
) -> tuple[Float[Tensor, "b t c"], Float[Tensor, "b n c"]]:
    """The two-way transformer: the tokens of each prompt, and the image as each prompt sees it."""
    tokens, pixels = prompt, image.pixels
    for layer in transformer.layers:
        is_first = pixels is image.pixels
        placed = tokens + (0 if is_first else prompt)
        attended = layer.self_attn(q=placed, k=placed, v=tokens)
        tokens = layer.norm1(attended if is_first else tokens + attended)
        look = partial(_look_at_same, image=image) if is_first else partial(_look, pixels=pixels, place=image.place)
        tokens = layer.norm2(tokens + look(layer.cross_attn_token_to_image, tokens + prompt))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        to_tokens = layer.cross_attn_image_to_token
        keys = _split(to_tokens, to_tokens.k_proj(tokens + prompt))
        scores = keys @ image.queries.mT if is_first else _score(to_tokens, keys, pixels + image.place)
        pixels = layer.norm4(pixels + _mix(to_tokens, scores, tokens))
    seen = _look(transformer.final_attn_token_to_image, tokens + prompt, pixels, image.place)
    return transformer.norm_final_attn(tokens + seen), pixels


def _look_at_same(attention: Any, tokens: Float[Tensor, "b t c"], image: ImageSide) -> Float[Tensor, "b t c"]:
    """Tokens of all points attend to the one image."""
    queries = _split(attention, attention.q_proj(tokens.flatten(0, 1)[None]))
    seen = F.scaled_dot_product_attention(queries, image.keys, image.values)
    rows: Float[Tensor, "b t c"] = attention.out_proj(_join(seen)).reshape(tokens.shape)
    return rows


def _look(
    attention: Any, tokens: Float[Tensor, "b t c"], pixels: Float[Tensor, "b n c"], place: Float[Tensor, "1 n c"]
) -> Float[Tensor, "b t c"]:
    """Tokens attend to the image of their point: `softmax(q (x Wk)') (x Wv)` as `(softmax((q Wk') x') x) Wv`.

    The keys' bias adds the same to the scores of all pixels, which a softmax does not see.
    """
    heads = attention.num_heads
    queries = _split(attention, attention.q_proj(tokens))
    queries = (queries * queries.shape[-1] ** -0.5) @ _by_head(attention.k_proj.weight, heads)  # (B, heads, T, C)
    shares = (queries.flatten(1, 2) @ (pixels + place).mT).softmax(-1)
    mixed = (shares @ pixels).unflatten(1, (heads, -1))
    seen = mixed @ _by_head(attention.v_proj.weight, heads).mT
    rows: Float[Tensor, "b t c"] = attention.out_proj(_join(seen) + attention.v_proj.bias)
    return rows


def _score(
    attention: Any, keys: Float[Tensor, "b heads t d"], placed: Float[Tensor, "b n c"]
) -> Float[Tensor, "b heads t n"]:
    """What the image of each point asks of its tokens: `k (x Wq + b)'` as `(k Wq') x' + k b'`."""
    heads = attention.num_heads
    bias = keys @ attention.q_proj.bias.view(heads, -1, 1)
    absorbed: Tensor = (keys @ _by_head(attention.q_proj.weight, heads)).flatten(1, 2)
    scores: Tensor = (absorbed @ placed.mT).reshape(*keys.shape[:3], -1) + bias
    return scores


def _mix(
    attention: Any, scores: Float[Tensor, "b heads t n"], tokens: Float[Tensor, "b t c"]
) -> Float[Tensor, "b n c"]:
    """What each pixel takes of the tokens: `(softmax(s) v) Wo` as `softmax(s) (v Wo)`."""
    values = _split(attention, attention.v_proj(tokens))
    values = values @ _by_head(attention.out_proj.weight.mT, attention.num_heads)
    shares = (scores * (attention.internal_dim // attention.num_heads) ** -0.5).softmax(2)
    mixed: Tensor = torch.baddbmm(attention.out_proj.bias, shares.flatten(1, 2).mT, values.flatten(1, 2))
    return mixed


def _upscale(
    layers: nn.Sequential, pixels: Float[Tensor, "b n c"], kernels: Float[Tensor, "b d k"], size_yx: tuple[int, int]
) -> Float[Tensor, "b k y x"]:
    """Logits at four times the embedding's size."""
    modules: Any = layers
    twice, norm, act, again, act_again = modules
    rows: Tensor = act(F.layer_norm(_double(twice, pixels), norm.weight.shape, norm.weight, norm.bias, norm.eps))
    rows = act_again(_double(again, rows))  # (B, N, 2, 2, 2, 2, d): row, column of four, then of each of those
    logits = rows.flatten(1, -2) @ kernels
    parts = logits.unflatten(1, (*size_yx, 2, 2, 2, 2)).permute(0, 7, 1, 3, 5, 2, 4, 6)
    whole: Tensor = parts.reshape(len(logits), logits.shape[-1], 4 * size_yx[0], 4 * size_yx[1])
    return whole


def _double(layer: Any, rows: Float[Tensor, "*before c"]) -> Float[Tensor, "*before 2 2 d"]:
    """A transposed convolution of 2 x 2 pixels at a stride of 2, each pixel by itself."""
    weight = layer.weight.permute(2, 3, 1, 0)  # (2, 2, d, C)
    return F.linear(rows, weight.flatten(0, 2), layer.bias.repeat(4)).reshape(*rows.shape[:-1], *weight.shape[:3])


def _to_rows(map_: Float[Tensor, "b c y x"]) -> Float[Tensor, "b n c"]:
    return map_.flatten(2).mT.contiguous()


def _split(attention: Any, rows: Float[Tensor, "b t d"]) -> Float[Tensor, "b heads t c"]:
    return rows.reshape(*rows.shape[:-1], attention.num_heads, -1).transpose(1, 2)


def _join(rows: Float[Tensor, "b heads t c"]) -> Float[Tensor, "b t d"]:
    return rows.transpose(1, 2).flatten(2)


def _by_head(weight: Float[Tensor, "d c"], heads: int) -> Float[Tensor, "heads e c"]:
    return weight.reshape(heads, -1, weight.shape[-1])
