"""A text tower of `open_clip` that remembers what it has read."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from open_clip import CLIP
from torch import Tensor
from torch.nn import Linear

from ris_core.arrays import Array
from ris_core.errors import BadExpression

_END_OF_WORD = "</w>"
TEXTS_KEPT = 10_000
"""How many texts' features are remembered."""


class TextTower:
    """The text side of a CLIP.

    Args:
        net: The model, in evaluation.
        tokenizer: Its tokenizer.
        device: Where the model is.
        batch_size: How many texts go through it at once.
        refuses_long: Refuse texts that are longer than the model reads; otherwise they are cut, their end token kept.
        width: Length of a text's feature.
    """

    def __init__(
        self, net: Any, tokenizer: Any, device: torch.device, batch_size: int, refuses_long: bool, width: int
    ) -> None:
        self.net, self.tokenizer, self.device, self.width = net, tokenizer, device, width
        self.batch_size, self.refuses_long = batch_size, refuses_long
        self._remembered: OrderedDict[str, Float[Array, "e"]] = OrderedDict()

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Whole words that the tokenizer has a token of its own for: the usual ones, in the order in which it learnt them."""
        tokens: Mapping[str, int] = getattr(self.tokenizer, "encoder", {})
        ends = (token.removesuffix(_END_OF_WORD) for token in tokens if token.endswith(_END_OF_WORD))
        return tuple(word for word in ends if word.isalpha() and word.isascii())

    def encode(self, texts: Sequence[str]) -> Float[Array, "t e"]:
        """Features, float32 (T, E), not normalised.

        Raises:
            BadExpression: If a text is too long and that is refused.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._remembered]
        for start in range(0, len(new), self.batch_size):
            part = new[start : start + self.batch_size]
            features = self._read(self._tokens(part)).float().cpu().numpy()
            self._remembered.update(zip(part, features, strict=True))
        for text in texts:
            self._remembered.move_to_end(text)
        features_by_text = [self._remembered[text] for text in texts]
        while len(self._remembered) > TEXTS_KEPT:
            self._remembered.popitem(last=False)
        return np.stack(features_by_text) if features_by_text else np.zeros((0, self.width), np.float32)

    def _read(self, tokens: Int[Tensor, "t length"]) -> Float[Tensor, "t e"]:
        """Features of token ids; what stands behind the end tokens is not computed, which no token before them sees."""
        net = self.net
        if not isinstance(net, CLIP) or net.text_pool_type != "argmax" or net.attn_mask is None:
            features: Float[Tensor, "t e"] = net.encode_text(tokens, normalize=False)  # CoCa would
            return features
        ends = tokens.argmax(1)  # the end token has the largest id
        length = int(ends.max()) + 1
        states = net.token_embedding(tokens[:, :length]) + net.positional_embedding[:length]
        states = net.transformer(states, attn_mask=net.attn_mask[:length, :length])
        last = net.ln_final(states[torch.arange(len(ends), device=ends.device), ends])
        projection: Float[Tensor, "t e"] = (
            net.text_projection(last) if isinstance(net.text_projection, Linear) else last @ net.text_projection
        )
        return projection

    def _tokens(self, texts: list[str]) -> Int[Tensor, "t length"]:
        """Token ids, (T, length)."""
        if self.refuses_long:
            read = self.tokenizer.context_length
            lasts = self.tokenizer(texts, context_length=read + 1)[:, -1].tolist()  # 0 pads what is shorter
            for text in (text for text, last in zip(texts, lasts, strict=True) if last):
                raise BadExpression(
                    f"{text[:40]!r}… has more than the {read} tokens that are read. Say it in fewer words."
                )
        ids: Int[Tensor, "t length"] = self.tokenizer(texts).to(self.device)
        return ids
