import gzip

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from demo.captions import RELATIONS, describe, describe_pair, name_class, plural, with_article, words
from demo.sprites import vocabulary
from demo.tokenizer import BPE_FILE, CONTEXT_LENGTH, load_tokenizer, write_merges

NOUNS = list(vocabulary()["classes"])


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer()


@pytest.fixture(scope="module")
def full_tokenizer():
    return SimpleTokenizer()


def _captions(count):
    rng = np.random.default_rng(5)
    for k in range(count):
        noun, other = NOUNS[k % 60], NOUNS[(k * 7 + 1) % 60]
        yield describe(rng, noun, "red" if k % 3 else None, (other,))


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("dog", "a dog"),
        ("owl", "an owl"),
        ("orange car", "an orange car"),
        ("scissors", "scissors"),  # plural only
        ("red grapes", "red grapes"),
    ],
)
def test_article_fits_the_phrase(phrase, expected):
    assert with_article(phrase) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("dog", "dogs"), ("butterfly", "butterflies"), ("bus", "buses"), ("fish", "fish"), ("scissors", "scissors")],
)
def test_plural_is_english(noun, expected):
    assert plural(noun) == expected


def test_same_seed_gives_the_same_captions():
    assert list(_captions(200)) == list(_captions(200))


def test_captions_say_what_they_mean():
    for caption in _captions(600):
        if caption.noun:
            assert caption.noun in caption.text or plural(caption.noun) in caption.text
        if caption.colour:
            assert caption.colour in caption.text
        assert caption.noun or caption.colour


def test_the_referred_noun_comes_before_any_other():
    rng = np.random.default_rng(0)
    captions = [describe(rng, "dog", None, ("guitar",)) for _ in range(300)]
    with_other = [caption.text for caption in captions if "guitar" in caption.text]
    assert with_other
    assert all(text.index("dog") < text.index("guitar") for text in with_other)


def test_class_names_never_say_a_colour():
    rng = np.random.default_rng(1)
    texts = [name_class(rng, "car").text for _ in range(100)]
    assert all(caption.split()[-1].rstrip(".") == "car" for caption in texts)
    assert len(set(texts)) > 5


@pytest.mark.parametrize("relation", list(RELATIONS))
def test_pair_captions_use_their_relations_words(relation):
    caption = describe_pair(np.random.default_rng(2), "cat", relation, "apple")
    assert any(f"a cat {wording} an apple" in caption.text for wording in RELATIONS[relation])
    assert (caption.noun, caption.relation, caption.other) == ("cat", relation, "apple")


def test_tokenizer_cuts_known_words_as_clip_does(tokenizer, full_tokenizer):
    assert [w for w in words() if tokenizer.bpe(w) != full_tokenizer.bpe(w)] == []


def test_nouns_and_colours_are_single_tokens(tokenizer):
    assert [w for w in [*NOUNS, *vocabulary()["tints"]] if len(tokenizer.encode(w)) != 1] == []


@pytest.mark.parametrize("text", ["a refrigerator", "naïve café", "犬", "x-ray #7!"])
def test_unknown_words_survive_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)).replace(" ", "") == text.replace(" ", "")


def test_captions_fit_the_context(tokenizer):
    assert max(len(tokenizer.encode(caption.text)) for caption in _captions(600)) + 2 <= CONTEXT_LENGTH


def test_shipped_merges_are_reproducible(tmp_path):
    write_merges(tmp_path / "bpe.txt.gz", words())
    shipped, written = (gzip.decompress(file.read_bytes()) for file in (BPE_FILE, tmp_path / "bpe.txt.gz"))
    assert shipped == written
