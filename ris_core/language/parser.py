"""From what somebody typed to an `Expression`: cleaning, parsing with spaCy, reading the parse."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from ris_core.errors import BadExpression, WeightsMissing
from ris_core.language.expression import Expression
from ris_core.language.normalising import normalise
from ris_core.language.telegrams import retie

MAX_CHARACTERS = 1_000
"""Longest expression, after normalising; CLIP reads 77 tokens of it."""
APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u201b\u02bc\u00b4`\uff07"), "'")
"""What phones and word processors write for an apostrophe: "isn\u2019t" would say "is"."""
READINGS = 500
"""Expressions whose reading is remembered."""
UNUSED_PIPES = ("ner", "lemmatizer", "textcat")
"""Components of full pipelines that cost time and tell us nothing."""


def clean_expression(text: str) -> str:
    """Normalise to NFKC, with straight apostrophes, replace control characters by blanks, runs of white space by one; keep the case.

    Emoji and other scripts pass as they are.

    Raises:
        BadExpression: If no letter, digit or pictograph is left, or more than `MAX_CHARACTERS` are.
    """
    visible = "".join(
        " " if unicodedata.category(c) in ("Cc", "Cs") else c
        for c in unicodedata.normalize("NFKC", text).translate(APOSTROPHES)
    )
    text_line = " ".join(visible.split())
    if len(text_line) > MAX_CHARACTERS:
        raise BadExpression(
            f"The expression has {len(text_line):,} characters; at most {MAX_CHARACTERS:,} are read. "
            "Keep only the words that name the thing."
        )
    if not text_line:
        raise BadExpression(f'The expression {text[:20]!r} is blank. Type what to find, for example "the red apple".')
    if not any(c.isalnum() or unicodedata.category(c) == "So" for c in text_line):
        raise BadExpression(
            f'The expression {text_line[:20]!r} has no letter or digit. Type what to find, for example "the red apple".'
        )
    return text_line


class Parser:
    """A spaCy pipeline, loaded once, that reads referring expressions.

    Attributes:
        fingerprint: What decides the parses: changes with the pipeline and with the quirks.
        quirks: The released code's behaviours that it reproduces.
    """

    def __init__(self, source: str | Path, fingerprint: str = "", quirks: frozenset[str] = frozenset()) -> None:
        """Load the pipeline.

        Args:
            source: Folder of a pipeline, or the name of an installed package such as "en_core_web_sm".
            fingerprint: Digest of the folder; the pipeline's own name and version if empty.
            quirks: Identifiers of the released code's behaviours to reproduce, see `ris_core.language.grammar`.

        Raises:
            WeightsMissing: If there is no such folder or package, or it cannot parse.
        """
        import spacy  # here, because it loads torch

        try:
            self._nlp = spacy.load(source, exclude=UNUSED_PIPES)
        except OSError as error:
            raise _missing(source, "is missing or damaged") from error
        if not self._nlp.has_pipe("parser"):
            raise _missing(source, "has no dependency parser")
        self.quirks = quirks
        meta = self._nlp.meta
        name = fingerprint or f"{meta['lang']}_{meta['name']}-{meta['version']}"
        self.fingerprint = "+".join([name, *sorted(quirks)])
        self._remembered = lru_cache(maxsize=READINGS)(self.read)

    def parse(self, text: str) -> Expression:
        """Clean, lower-case and parse one expression; what was read lately is remembered.

        Raises:
            BadExpression: If there is nothing to read in it, or too much.
        """
        return self._remembered(text)

    def read(self, text: str) -> Expression:
        """The same without remembering.

        The tokens of a first parse are joined by single blanks and, with quirks, parsed again as the published methods do; that
        text is what the text encoder gets ("isn't" -> "is n't").
        """
        from spacy.tokens import Doc

        cleaned = clean_expression(text).lower()
        typed, normal = self._tokens(cleaned), self._tokens(normalise(cleaned))
        if not self.quirks:
            doc = retie(self._nlp(Doc(self._nlp.vocab, words=normal)))
            return Expression.from_doc(doc, raw=text, text=" ".join(typed))
        doc = self._nlp(" ".join(typed))
        return Expression.from_doc(
            doc, self.quirks, text, normal=self._nlp(" ".join(normal)) if normal != typed else None
        )

    def _tokens(self, text: str) -> list[str]:
        return [token.text for token in self._nlp.make_doc(text) if not token.is_space]

    __call__ = parse


def _missing(source: str | Path, reason: str) -> WeightsMissing:
    if isinstance(source, Path):  # one of ours; a text is somebody's own pipeline
        command = f"python -m demo.train_parser --treebank FOLDER --output {source}"
        return WeightsMissing(name=f"The parser {Path(source).name}", folder=source, command=command, reason=reason)
    is_path = Path(source).name != source or Path(source).is_dir()
    return WeightsMissing(
        name=f"The spaCy pipeline {source}",
        folder=source if is_path else "the Python environment",
        command="nlp.to_disk(FOLDER), in Python" if is_path else f"python -m spacy download {source}",
        reason=reason,
    )
