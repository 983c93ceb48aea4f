"""Train the demo parser: `python -m demo.train_parser --treebank FOLDER`. A quarter of an hour on one core, seeded.

A small spaCy pipeline (shared tok2vec; tagger, morphologizer, parser) learns from the UD English EWT treebank,
converted to ClearNLP-style labels, and from generated referring expressions. It is measured on the treebank's test
part and on expressions it never saw; the figures go into the pipeline's `meta.json`.
"""

import argparse
import json
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.scorer import PRFScore, Scorer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Adam, Optimizer, fix_random_seed

from demo.phrases import make_phrases
from demo.ud_to_clear import Token, convert, read_treebank
from ris_core.language.grammar import analyse
from ris_core.runtime.weights import BUNDLED_FOLDER

OUTPUT = BUNDLED_FOLDER / "parser"
SEED = 7
PHRASES = 7_000
"""Generated expressions to train on."""
TEST_PHRASES = 500
"""Generated expressions to measure on, none of them trained on."""
PHRASE_SHARE = 0.35
"""Share of the words of a batch that come from generated expressions."""
BATCH_WORDS = 1_000
LOWER_CASE = 0.6
"""Chance that a treebank document is lower-cased: expressions always are."""
WIDTH = 96
"""Width of the token vectors; the hash tables below hold most of the bytes."""
HASH_ROWS = {"NORM": 3_000, "PREFIX": 500, "SUFFIX": 1_500, "SHAPE": 500}
TOP_RATE = 2e-3
WARM_UP_STEPS = 150
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "tok2vec"}


def main() -> None:
    """Command line: train, measure, write the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--treebank", type=Path, required=True, help="folder with en_ewt-ud-{train,test}.conllu.gz")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--measure-only", action="store_true", help="measure the pipeline in the output folder again")
    options = parser.parse_args()
    phrases = make_phrases(PHRASES, SEED)
    unseen = make_phrases(TEST_PHRASES, SEED + 1, exclude=frozenset(" ".join(t.text for t in tree) for tree in phrases))
    if not options.measure_only:
        sentences = [convert(s) for s in read_treebank(options.treebank / "en_ewt-ud-train.conllu.gz")]
        save(train(sentences, phrases, options.steps), options.output)
    nlp = spacy.load(options.output)
    test = [convert(s) for s in read_treebank(options.treebank / "en_ewt-ud-test.conllu.gz")]
    figures = {
        "treebank": measure(nlp, test),
        "treebank_lower_case": measure(nlp, map(lower, test)),
        "generated": measure(nlp, unseen),
    }
    record(figures, options.output)
    print(json.dumps(figures, indent=1))


def train(sentences: list[list[Token]], phrases: list[list[Token]], steps: int) -> Language:
    """Train a fresh pipeline for `steps` batches and give it its averaged weights."""
    fix_random_seed(SEED)
    nlp = build_pipeline()
    vocab = nlp.vocab
    nlp.initialize(lambda: [make_example(vocab, tree) for tree in [*sentences, *phrases]])
    optimizer = Adam(TOP_RATE, L2=0.01, grad_clip=1.0, use_averages=True)
    rng = random.Random(SEED)
    batches = make_batches(sentences, phrases, rng)
    started, losses = time.monotonic(), dict.fromkeys(nlp.pipe_names, 0.0)
    for step in range(1, steps + 1):
        optimizer.learn_rate = TOP_RATE * min(1.0, step / WARM_UP_STEPS) * max(0.01, 1 - step / steps)
        nlp.update([make_example(vocab, tree) for tree in next(batches)], drop=0.1, sgd=optimizer, losses=losses)
        if step % 100 == 0:
            report = " ".join(f"{name} {loss / 100:.1f}" for name, loss in losses.items())
            print(f"step {step}/{steps} {report} {time.monotonic() - started:.0f} s", flush=True)
            losses = dict.fromkeys(nlp.pipe_names, 0.0)
    return with_averages(nlp, optimizer)


def build_pipeline() -> Language:
    """An untrained pipeline: one tok2vec that the tagger, the morphologizer and the parser listen to."""
    nlp = spacy.blank("en")
    embed = {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": WIDTH,
        "attrs": list(HASH_ROWS),
        "rows": list(HASH_ROWS.values()),
        "include_static_vectors": False,
    }
    encode = {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": WIDTH,
        "depth": 4,
        "window_size": 1,
        "maxout_pieces": 3,
    }
    nlp.add_pipe("tok2vec", config={"model": {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode}})
    for name in ("tagger", "morphologizer"):
        nlp.add_pipe(name, config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}})
    transition = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "parser",
        "hidden_width": 64,
        "maxout_pieces": 2,
        "tok2vec": LISTENER,
    }
    nlp.add_pipe("parser", config={"model": transition})
    return nlp


def make_batches(
    sentences: list[list[Token]], phrases: list[list[Token]], rng: random.Random
) -> Iterator[list[list[Token]]]:
    """Yield batches of about `BATCH_WORDS` words for ever, both sources mixed."""
    prose, expressions = _endless(sentences, rng), _endless(phrases, rng)
    while True:
        batch: list[list[Token]] = []
        words = {True: 0, False: 0}
        while sum(words.values()) < BATCH_WORDS:
            is_phrase = words[True] < PHRASE_SHARE * BATCH_WORDS
            tree = next(expressions) if is_phrase else _document(prose, rng)
            words[is_phrase] += len(tree)
            batch.append(tree)
        yield batch


def lower(tree: Iterable[Token]) -> list[Token]:
    """The same tree over lower-case words."""
    return [replace(token, text=token.text.lower()) for token in tree]


def make_doc(vocab: Vocab, tree: list[Token]) -> Doc:
    """A spaCy document that carries the tree as its annotation."""
    return Doc(
        vocab,
        words=[t.text for t in tree],
        tags=[t.tag for t in tree],
        pos=[t.pos for t in tree],
        morphs=[t.morph for t in tree],
        heads=[t.head for t in tree],
        deps=[t.dep for t in tree],
    )


def make_example(vocab: Vocab, tree: list[Token]) -> Example:
    """A training pair: bare words and the annotated document."""
    return Example(Doc(vocab, words=[t.text for t in tree]), make_doc(vocab, tree))


def measure(nlp: Language, trees: Iterable[list[Token]]) -> dict[str, float]:
    """Score predicted trees on given words.

    Returns:
        Shares in [0, 1]: attachment (`uas`, `las`, without punctuation), `tag` and `pos` accuracy, F1 of noun chunks,
        `target` noun phrases equal to those of the true tree.
    """
    examples = [make_example(nlp.vocab, tree) for tree in trees]
    docs = list(nlp.pipe(example.predicted for example in examples))
    examples = [Example(doc, example.reference) for doc, example in zip(docs, examples, strict=True)]
    scores = Scorer(nlp).score(examples)
    chunks, targets = PRFScore(), 0
    for example in examples:
        predicted, reference = example.predicted, example.reference
        chunks.score_set(
            {(c.start, c.end) for c in predicted.noun_chunks}, {(c.start, c.end) for c in reference.noun_chunks}
        )
        targets += analyse(predicted).target == analyse(reference).target
    named = {"uas": scores["dep_uas"], "las": scores["dep_las"], "tag": scores["tag_acc"], "pos": scores["pos_acc"]}
    return {
        name: round(float(v), 4)
        for name, v in {**named, "noun_chunk_f1": chunks.fscore, "target": targets / len(examples)}.items()
    }


def with_averages(nlp: Language, optimizer: Optimizer) -> Language:
    """Copy the averaged weights into a fresh pipeline, whose vocabulary holds labels but no training words."""
    fresh = build_pipeline()
    with nlp.use_params(optimizer.averages):
        fresh.from_bytes(nlp.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    for _, pipe in fresh.pipeline:
        for label in getattr(pipe, "labels", ()):
            for part in (label, *label.replace("=", "|").split("|")):
                fresh.vocab.strings.add(part)
    return fresh


def save(nlp: Language, folder: Path) -> None:
    """Write the pipeline with its name, licence and sources."""
    nlp.meta.update(
        name="ris_demo_parser",
        version="1.0.0",
        description="Small English dependency parser for referring expressions; demo quality.",
        license="CC BY-SA 4.0",
        sources=[{"name": "UD English EWT", "author": "Silveira et al., LREC 2014", "license": "CC BY-SA 4.0"}],
    )
    nlp.to_disk(folder)


def record(figures: dict[str, dict[str, float]], folder: Path) -> None:
    """Write measured figures into the pipeline's `meta.json`."""
    file = folder / "meta.json"
    meta = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**meta, "performance": figures}, indent=2) + "\n", encoding="utf-8")


def _endless(trees: list[list[Token]], rng: random.Random) -> Iterator[list[Token]]:
    """The trees in a new order every round; neighbours in a round are unrelated."""
    while True:
        yield from rng.sample(trees, len(trees))


def _document(prose: Iterator[list[Token]], rng: random.Random) -> list[Token]:
    """One to three sentences as one document, so that the parser also learns where sentences end."""
    document: list[Token] = []
    for _ in range(rng.choices([1, 2, 3], [75, 17, 8])[0]):
        start = len(document)
        document += [replace(token, head=token.head + start) for token in next(prose)]
    return lower(document) if rng.random() < LOWER_CASE else document


if __name__ == "__main__":
    main()
