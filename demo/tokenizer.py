"""CLIP-tiny's tokenizer: CLIP's own byte-pair merges, cut down to the demo's words.

`python -m demo.tokenizer` writes the merges again. Any other text still becomes tokens, only shorter ones.
"""

import gzip
from collections.abc import Iterable
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer, get_pairs

from demo.captions import words
from ris_core.runtime.weights import BUNDLED_FOLDER

BPE_FILE = BUNDLED_FOLDER / "clip-tiny" / "bpe.txt.gz"
COMMON_MERGES = 1200
"""CLIP's most frequent merges, kept so that unknown words take few tokens."""
CONTEXT_LENGTH = 24
"""Tokens of a text, start and end included."""


def load_tokenizer(bpe_file: Path = BPE_FILE) -> SimpleTokenizer:
    """open_clip's tokenizer over a file of merges."""
    return SimpleTokenizer(bpe_path=str(bpe_file), context_length=CONTEXT_LENGTH)


def write_merges(file: Path, vocabulary: Iterable[str]) -> int:
    """Write the merges that the words need, and the most common ones, in CLIP's order; return how many.

    A word's merges are those CLIP's tokenizer applies to it, so each word keeps exactly CLIP's pieces.
    """
    full = SimpleTokenizer()
    needed = set(list(full.bpe_ranks)[:COMMON_MERGES])
    for word in vocabulary:
        needed |= _merges_of(full, word)
    lines = ["#version: 0.2 (subset)", *(" ".join(pair) for pair in sorted(needed, key=full.bpe_ranks.__getitem__))]
    file.parent.mkdir(parents=True, exist_ok=True)
    # SimpleTokenizer skips the first line and splits on newlines: a final one would become an empty merge.
    file.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return len(needed)


def _merges_of(tokenizer: SimpleTokenizer, word: str) -> set[tuple[str, str]]:
    """The merges that turn a word's characters into its pieces."""
    pieces = [tokenizer.byte_encoder[b] for b in word.encode()]
    pieces[-1] += "</w>"
    used = set()
    while len(pieces) > 1:
        best = min(get_pairs(tuple(pieces)), key=lambda pair: tokenizer.bpe_ranks.get(pair, float("inf")))
        if best not in tokenizer.bpe_ranks:
            break
        used.add(best)
        merged: list[str] = []
        for piece in pieces:
            if merged and (merged[-1], piece) == best:
                merged[-1] += piece
            else:
                merged.append(piece)
        pieces = merged
    return used


if __name__ == "__main__":
    count = write_merges(BPE_FILE, words())
    print(f"{BPE_FILE.name}: {count} merges, vocabulary {load_tokenizer().vocab_size}")
