"""What is said of each thing in a parse, collected along the sentence: the first half of `ris_core.language.referents`.

Every clause ("left of the dog", "second from the left", "largest") belongs to the noun phrase that it hangs on in the tree.
What follows a keyword is read off the surface, because parsers often attach "left of the dog" wrongly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ris_core.language import belongings, grammar, hypernyms, lexicon, negation, parts
from ris_core.language.descriptions import NOBODY, Description, is_plural
from ris_core.language.things import find_things
from ris_core.language.values import Clause

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span


_GROUPS = lexicon.words("pair couple")


class ClauseReader:
    """Reads one document when made.

    Attributes:
        notes: What is said, by the index of a noun phrase's first token; of the target without a noun phrase by `NOBODY`.
        target: The noun phrase of what is referred to, if there is one.
        joined: Those that are joined to it: "the cat and the dog".
    """

    def __init__(self, doc: Doc) -> None:
        self.doc, self.words = doc, [lexicon.spelled(token.lower_) for token in doc]
        last = max((i for i, word in enumerate(self.words) if word.isalnum()), default=0)
        self.words[:last] = [lexicon.SIGNS.get(word, word) for word in self.words[:last]]
        self.notes: defaultdict[int, Description] = defaultdict(Description)
        self.joined: list[Span] = []
        self._belongs_to: dict[int, int] = {}  # what is said of "the shirt" of "the man in a shirt" is said of the man
        self._is_negated = False
        named = find_things(doc, self.words)
        self._chunks = named.phrases
        self._chunk_at = {token.i: chunk for chunk in self._chunks for token in chunk}
        i = self._begin_at_part()
        self.target: Span | None = (
            self._chunk_at[i] if i else self._keep(self._find_target(self._chunk_at.get(named.target)))
        )
        for chunk in self._chunks:
            self._read_inside(chunk)
        for start, owner in named.owners.items():
            self._belong(start, self._chunk_at[owner], f"of {self._bare(self._chunk_at[owner])}")
        while i < len(doc):
            i = self._pass_chunk(self._chunk_at[i]) if i in self._chunk_at else self._read_token(i)
        if self.target is None and self._words(0, 1) in ("those", "these"):
            self.notes[NOBODY].is_every = True
        if self._is_negated and self.target is None:  # "nothing"
            self.notes[NOBODY].excluded.append(("", ""))

    def _begin_at_part(self) -> int:
        """Where the thing begins of which the expression names a part, having noted that part; 0 if it names none."""
        part = parts.opening_part(self.words)
        thing = self._chunk_at.get(part.start) if part else None
        if part is None or thing is None or (is_plural(thing.root) and "middle" in part.keywords):
            return 0  # "the middle of the goats" is the goat in their middle
        self._chunks = [chunk for chunk in self._chunks if chunk.start >= thing.start]
        self._chunk_at = {token.i: chunk for chunk in self._chunks for token in chunk}  # "portion" is none
        self.notes[thing.start].before += part.colours
        for keyword, wording in zip(part.keywords, part.wordings, strict=True):
            self.notes[thing.start].clauses.append((Clause("part", keyword, wording), ()))
        return int(thing.start)

    def _belong(self, start: int, owner: Span, wording: str) -> None:
        """Note that a thing is at another that it belongs to."""
        self.notes[start].clauses.append((Clause("relation", "with", wording), [owner]))

    def _find_target(self, target: Span | None) -> Span | None:
        """The grammar's; of "the largest of the dogs" the dogs, of "not the cat but the dog" the dog."""
        for chunk in self._chunks:
            is_first = not any(other.end <= chunk.start - 2 for other in self._chunks)  # not "beside a pair of boots"
            if is_first and self._words(chunk.start - 1, 1) == "of" and self._selects(chunk.start - 2):
                word, before = self.words[chunk.start - 2], self._words(chunk.start - 3, 1)
                if word not in lexicon.EVERY and before not in ("every", "each"):  # "every one of the cups"
                    is_pair = chunk.root.lower_ in lexicon.PAIRED_NOUNS  # "a pair of scissors"
                    self.notes[chunk.start].number = 1 if is_pair else lexicon.NUMBERS.get(word, 1)
                return chunk
        if target is None:
            subjects = (c for c in self._chunks if c.root.dep_ not in grammar.OBJECT_LABELS)
            objects = (c for c in self._chunks if c.root.head.lower_ in lexicon.COMMANDS)
            affirmed = (c for c in self._chunks if negation.is_all_but_nothing(self.words, c.start))
            return next(subjects, None) or next(objects, None) or next(affirmed, None)
        for chunk in self._chunks:
            if (
                self._words(chunk.start - 1, 1) in ("but", ",")
                and self._is_ruled_out(target)
                and not self._is_ruled_out(chunk)
            ):
                self._exclude(chunk.start, target)
                return chunk
        return target

    def _keep(self, target: Span | None) -> Span | None:
        """The target, unless it is named only as what is not meant."""
        for chunk in self._chunks if target is None else [target]:
            if self._is_ruled_out(chunk):
                self._exclude(NOBODY, chunk)
                target = None
        return target

    def _is_ruled_out(self, chunk: Span) -> bool:
        return negation.rules_out(self.words, chunk.start, chunk.end)

    def _selects(self, i: int) -> bool:
        """Whether a word picks from what follows "of": "leftmost of", "two of"."""
        counts = self._words(i, 1) in lexicon.NUMBERS or self._words(i, 1) in lexicon.EVERY
        picks = any(self._words(i, 1) in table for table in (lexicon.EXTREMES, lexicon.ORDINALS, {lexicon.LAST}))
        return counts or (picks and i not in self._chunk_at)

    def _read_inside(self, chunk: Span) -> None:
        """Note what a noun phrase itself says of where, which and how many; its other words are its look."""
        notes, is_meant = self.notes[chunk.start], not self._is_ruled_out(chunk)
        for token in chunk:
            word, lacks = self.words[token.i], is_meant and negation.denies(self.words, chunk.start, token.i)
            notes.is_every |= word in lexicon.EVERY
            if word in lexicon.NUMBERS and token.i != chunk.root.i:
                notes.number = notes.number or lexicon.NUMBERS[word]
            elif word in lexicon.DEPTHS and self._words(token.i + 1, 1) not in lexicon.SIDES:
                notes.clauses.append((Clause("position", lexicon.DEPTHS[word], word, is_negated=lacks), ()))
            elif self._names_kind(token.i, chunk):
                notes.before.append(word)
            elif token.i == chunk.root.i or token.pos_ in ("DET", "PUNCT") or self._is_silent(word):
                continue
            elif word in lexicon.ORDINALS or word == lexicon.LAST:
                notes.ordinal = word
            elif word in lexicon.SIDES and grammar.is_free(token):
                notes.clauses.append((replace(self._side(token.i), wording=word, is_negated=lacks), ()))
            elif word in lexicon.EXTREMES and self._is_size(token.i, chunk):
                clause, landmarks, _ = self._superlative(token.i, chunk.end - 1)
                notes.clauses.append((replace(clause, wording=word, is_negated=lacks), landmarks))
            elif lacks:  # "the not red frog"
                notes.excluded.append((word, ""))
            else:
                notes.before.append(word)

    def _names_kind(self, i: int, chunk: Span) -> bool:
        """ "a LEFT handed player", "the SIDE table": no place."""
        after = self.words[i + 1 : chunk.end]
        is_side = self.words[i] == "side" and len(after) == 1 and self._words(i - 1, 1) not in lexicon.SIDES
        return is_side or any(word in ("handed", "footed") for word in [w for w in after if w != "-"][:1])

    def _is_silent(self, word: str) -> bool:
        return word in lexicon.SKIPPED or word in lexicon.NEGATIONS

    def _is_size(self, i: int, chunk: Span) -> bool:
        """Whether a measure is the thing's own, and not of a part of it: "long-haired dog", "short sleeve shirt"."""
        between = self.words[i + 1 : chunk.end - 1]
        is_part = self.words[i] in lexicon.DESCRIBING and not lexicon.TELLING.issuperset(between)
        return not is_part and self._words(i + 1, 1) != "-"

    # --- along the sentence: each reader returns the index to go on with, or 0 if the word is not its own

    def _pass_chunk(self, chunk: Span) -> int:
        """A noun phrase that no word before it claimed: the target, one joined to it, or one that is not meant."""
        own = self.target.start if self.target is not None else NOBODY
        if chunk.start == own:
            self._is_negated = False
        elif self._take_negation(chunk.end) or negation.begins_denied(self.words, chunk.start, chunk.end):
            self._exclude(own, chunk)
        elif self.target is not None and self._is_conjunct(chunk):
            if self._is_second_thing(chunk):
                self.joined.append(chunk)
            elif not self._is_landmark(chunk):  # "a girl in a yellow dress AND BOOTS"
                self.notes[self._owner(chunk.root.head.i)].after += ["and", *self._bare(chunk).split()]
        return int(chunk.end)

    def _is_conjunct(self, chunk: Span) -> bool:
        """Whether a thing is named beside another: behind "and", or behind a comma in a list that ends with "and"."""
        before = self._words(chunk.start - 1, 1)
        if before == ",":
            rest = (other for other in self._chunks if other.start > chunk.start)
            return any(self._words(other.start - 1, 1) == "and" and other.root.dep_ == "conj" for other in rest)
        return before == "and" and chunk.root.dep_ == "conj"

    def _is_second_thing(self, chunk: Span) -> bool:
        """Whether a conjunct is asked for beside the target, and is no part of what is said of it.

        It stands next to the target or another such thing; or, behind what is said of that, it has the same article: "the man with
        a hat and THE dog", but "the man with a hat and A scarf"; of two persons each is told by what it wears or holds.
        """
        assert self.target is not None
        things = {self.target.start, *(one.start for one in self.joined)}
        previous = max((one.start for one in self._chunks if one.start < chunk.start), default=NOBODY)
        if previous in things:
            return True
        other = self._chunk_at.get(chunk.root.head.i)
        article = self.words[self.target.start]
        if other is None or self.words[chunk.start] != article or article not in ("the", "a", "an"):
            return False
        if other.start in self._belongs_to:  # "a woman in a sari and a man in a turban"
            is_told = self._words(chunk.end, 1) in (*lexicon.ATTRIBUTIVES, *lexicon.HOLDING)
            persons = [hypernyms.is_kind_of(one.root.lower_, "person") for one in (self.target, other, chunk)]
            return is_told and persons == [True, False, True]
        return article == "the" and other.start in things

    def _is_landmark(self, chunk: Span) -> bool:
        """Whether a clause that was read already is about a thing: "between the owl AND THE CAR"."""
        landmarks = (one for notes in self.notes.values() for _, things in notes.clauses for one in things)
        return any(one.start == chunk.start for one in landmarks)

    def _read_token(self, i: int) -> int:
        if self.words[i] in (",", "and", "but") and not self._goes_on(i):
            self._is_negated = False
        readers = (self._exception, self._extreme, self._direction, self._ordinal, self._attribute)
        return next((stop for reader in readers if (stop := reader(i))), i + 1)

    def _exception(self, i: int) -> int:
        """ "not", "without a hat", "except the left one"."""
        if self.words[i] in lexicon.NEGATIONS:
            self._is_negated = True
            return i + 1
        skip = negation.take_away(self.words, i)
        chunk = self._chunk_at.get(i + skip)
        if not skip or chunk is None or (self.words[i] in lexicon.FROM_ALL and not self._is_several()):
            return 0
        owner = self._owner(i, [chunk])
        is_part = self.words[i] in lexicon.LACKING and owner != NOBODY
        if is_part:
            self.notes[owner].excluded.append(("", f"with {self._bare(chunk)}"))
        else:
            self._exclude(owner, chunk)
        return int(chunk.end)

    def _extreme(self, i: int) -> int:
        """ "closest to the tree", "bigger than the dog", "that is the smallest"."""
        if self.words[i] not in lexicon.EXTREMES:
            return 0
        clause, landmarks, stop = self._superlative(i, i)
        return self._add(self._owner(i, landmarks), clause, landmarks, i, stop)

    def _direction(self, i: int) -> int:
        """ "left of the dog", "next to the tree", "between the cups", "on the left"."""
        word, landmarks = self.words[i], self._landmarks(i)
        if landmarks and belongings.is_gaze(self.words, i):  # "walking away from the house", "smiling at the boy"
            is_viewer = landmarks[0].root.lower_ in lexicon.VIEWERS
            self.notes[self._owner(i, landmarks)].after += [
                word,
                *(() if is_viewer else self._bare(landmarks[0]).split()),
            ]
            return int(landmarks[0].end)
        if landmarks and belongings.is_own(self.words, i, landmarks[0]):  # "around her neck"
            self._belongs_to[landmarks[0].start] = owner = self._owner(i, landmarks)
            self.notes[owner].after += [word, *self._bare(landmarks[0]).split()]
            return int(landmarks[0].end)
        if word not in lexicon.SIDES and not (word in lexicon.RELATIONS and landmarks):
            return 0
        if not landmarks and self._words(i - 1, 1) in lexicon.GAZES:
            self.notes[self._owner(i)].after.append(word)  # "facing left"
            return i + 1
        if not landmarks and (not grammar.is_free(self.doc[i]) or self._ends_range(i)):
            return i + 1
        keyword = lexicon.SIDES.get(word, "")
        if landmarks:
            keyword = "on" if self._words(i - 1, 2) == "on top" else lexicon.RELATIONS.get(word, keyword)
            if keyword in ("middle", "between"):  # "in the middle of the table" is on it
                keyword = "between" if len(landmarks) > 1 or is_plural(landmarks[0].root) else "with"
            clause = Clause("relation", keyword, "")
        else:
            clause = self._side(i)
        return self._add(self._counted_from(i) or self._owner(i, landmarks), clause, landmarks, i)

    def _counted_from(self, i: int) -> int | None:
        """Of "from the top" the thing just before that has an ordinal: "the cup on the SECOND SHELF from the top"."""
        start = next((j for j in range(i - 1, max(i - 4, -1), -1) if self.words[j] not in ("the", *lexicon.FAR)), 0)
        before = [chunk for chunk in self._chunks if chunk.end <= start]
        if self.words[start] != "from" or not before:
            return None
        key = self._belongs_to.get(before[-1].start, before[-1].start)
        return key if self.notes[key].ordinal and key else None

    def _ordinal(self, i: int) -> int:
        """ "the second from the left": an ordinal without its noun; also numbers, which are read elsewhere."""
        if self.words[i] in lexicon.ORDINALS or self.words[i] == lexicon.LAST:
            before = self._chunk_at.get(i - 1)  # "hat on the man second from the left"
            owner = self._owner(i) if before is None else self._belongs_to.get(before.start, before.start)
            self.notes[owner].ordinal = self.words[i]
            return i + 1
        return i + 1 if self.words[i] in lexicon.NUMBERS else 0

    def _attribute(self, i: int) -> int:
        """What belongs to the look: "that is red", "in a blue shirt", "holding an umbrella"."""
        token, word, chunk = self.doc[i], self.words[i], self._chunk_at.get(i + 1)
        if not self._describes(i):
            return 0
        if chunk is not None and self._is_excluded(NOBODY, chunk):
            return int(chunk.end)
        lacks, owner, stop = False, self._owner(i, [chunk] if chunk is not None else []), i + 1
        if (
            chunk is not None and word == "of" and self._is_told_where(chunk) and owner != NOBODY
        ):  # "legs of the right lady"
            self._belong(owner, chunk, f"of {self._bare(chunk)}")
            return int(chunk.end)
        holder = self._chunk_at[owner].root.lower_ if owner != NOBODY else ""
        if chunk is not None and word == "in" and holder and belongings.is_container(self.words, chunk, holder):
            return self._add(owner, Clause("relation", "in", ""), [chunk], i)
        if chunk is not None and (token.pos_ == "VERB" or word in lexicon.ATTRIBUTIVES):
            self._belongs_to[chunk.start] = owner
            if word in lexicon.HOLDING and not self._is_negated:
                self._add(owner, Clause("relation", "with", ""), [chunk], i)
            words = "", f"{lexicon.ATTRIBUTIVES.get(word, word)} {self._bare(chunk)}"
            lacks, stop = self.words[chunk.start] == "no", int(chunk.end)
        elif token.pos_ in ("ADJ", "NOUN", "VERB"):
            words = ("", word) if token.pos_ == "VERB" else (word, "")
        else:
            return 0
        if self._take_negation(stop) or lacks:
            self.notes[owner].excluded.append(words)
        else:
            self.notes[owner].before += words[0].split()
            self.notes[owner].after += words[1].split()
        return stop

    def _is_told_where(self, chunk: Span) -> bool:
        """Whether a noun phrase itself says which of its kind it is: "the right lady", "the tallest boy"."""
        return bool(self.notes[chunk.start].clauses or self.notes[chunk.start].ordinal)

    def _describes(self, i: int) -> bool:
        """Whether a word may belong to a look: no place, command, particle or "two OF the dogs"."""
        silent = (grammar.PLACES, lexicon.PLACEHOLDERS, lexicon.COMMANDS, lexicon.FAR, lexicon.CLOCK)
        is_partitive = self.target is not None and i + 1 == self.target.start
        is_silent = any(self.words[i] in words for words in silent) or self.doc[i].dep_ in ("prt", "compound")
        return not (is_silent or is_partitive)

    # --- what the readers share

    def _add(self, owner: int, clause: Clause, landmarks: Sequence[Span], i: int, stop: int = 0) -> int:
        """Note a clause whose keyword is at `i`; returns where to read on."""
        stop = max([stop, i + 1, *(chunk.end for chunk in landmarks[:1])])
        start = i
        while start and start - 1 not in self._chunk_at and self.words[start - 1] in lexicon.OPENINGS:
            start -= 1
        last = max([stop, *(chunk.end for chunk in landmarks)])
        wording = clause.wording or " ".join(self.words[start:last]).removeprefix("the ")
        clause = replace(clause, wording=wording, is_negated=self._take_negation(stop))
        self.notes[owner].clauses.append((clause, landmarks))
        return int(stop)

    def _superlative(self, i: int, last: int) -> tuple[Clause, list[Span], int]:
        """The clause of a superlative or comparative at `i`; what it is measured against follows the token `last`."""
        keyword, landmarks = lexicon.EXTREMES[self.words[i]], self._landmarks(last, needs_link=False)
        if keyword not in ("near", "far"):
            if landmarks and self._words(landmarks[0].start - 1, 1) == "of":
                landmarks = []  # "the larger of the dogs", "a large cup of tea"
            return (
                Clause("relation" if landmarks else "rank", keyword, "" if landmarks else self.words[i]),
                landmarks,
                0,
            )
        if landmarks:
            return Clause("rank", keyword, ""), landmarks, 0
        if last == i and (side := self._side_after(i)):
            part, stop, is_apart = side
            is_away = keyword == "far" and (is_apart or part == "edge")  # "farthest from the left", not "farthest left"
            return Clause("rank", lexicon.OPPOSITES[part] if is_away else part, " ".join(self.words[i:stop])), [], stop
        return Clause("rank", {"near": "front", "far": "back"}[keyword], self.words[i]), [], 0  # close to us

    def _side_after(self, i: int) -> tuple[str, int, bool] | None:
        """The part of the picture that "closest" or "farthest" at `i` is about, where it ends, and whether it is counted from."""
        parts = lexicon.SIDES | lexicon.RIMS
        j = next((j for j in range(i + 1, i + 6) if self._words(j, 1) not in (*grammar.LINKS, *lexicon.UTMOST)), i)
        part = parts.get(self._words(j, 1))
        return (part, j + 1, "from" in self.words[i:j]) if part else None

    def _landmarks(self, i: int, needs_link: bool = True) -> list[Span]:
        """The things that the keyword at `i` is measured against, read off the surface."""
        j = i + 1
        if self.words[i] == "at":  # "at the end of the hall"
            part = parts.opening_part(self.words[j:])
            j += part.start if part and not part.keywords else 0
        while self._words(j, 1) in grammar.FRAME_NOUNS:  # "on the left side of the dog"
            j += 1
        if self._words(j, 1) in grammar.LINKS:
            j += 1
        elif needs_link and self.words[i] not in lexicon.RELATIONS:
            return []
        paired = next(
            (
                c.end
                for c in self._chunks
                if c.start == j and c.root.lower_ in _GROUPS and self._words(c.end, 1) == "of"
            ),
            -1,
        )
        j = paired + 1 or j  # "beside a pair of boots"
        landmarks = [c for c in self._chunks if c.start == j and c is not self.target]  # not "the largest OF THE DOGS"
        if landmarks and self.words[i] in lexicon.PAIRING:
            landmarks += [chunk for chunk in self._chunks if chunk.root in landmarks[0].root.conjuncts][:1]
        return landmarks

    def _owner(self, i: int, landmarks: Sequence[Span] = ()) -> int:
        """Key of the thing that a word speaks of: the nearest above it in the tree that is none of its landmarks."""
        starts = {chunk.start for chunk in landmarks}
        if self.words[i] in lexicon.ATTRIBUTIVES and any(one.end == i for one in self.joined):
            return int(self._chunk_at[i - 1].start)
        for token in (self.doc[i], *self.doc[i].ancestors):
            chunk = self._chunk_at.get(token.i)
            if chunk is not None and chunk.start not in starts:
                return self._belongs_to.get(chunk.start, chunk.start)
        return self.target.start if self.target is not None else NOBODY

    def _take_negation(self, stop: int) -> bool:
        """Whether a "not" is waiting for what has just been read; "or" keeps it for the next."""
        was_negated = self._is_negated
        self._is_negated = was_negated and (self._words(stop, 1) in ("or", "nor") or self._goes_on(stop))
        return was_negated

    def _goes_on(self, i: int) -> bool:
        """Whether a comma at `i` is one of a negated list: "neither standing, sitting nor walking"."""
        return self._words(i, 1) == "," and "neither" in self.words[:i] and "nor" in self.words[i:]

    def _side(self, i: int) -> Clause:
        """A part of the picture, or its very end: "far left", "left-most"."""
        keyword, is_most = lexicon.SIDES[self.words[i]], self._words(i + 1, 2).startswith(("most", "- most"))
        is_utmost = keyword != "middle" and (is_most or self._words(i - 1, 1) in lexicon.FAR)
        return Clause("rank" if is_utmost else "position", keyword, "")

    def _bare(self, chunk: Span) -> str:
        """The words of a noun phrase without its article."""
        return " ".join(self.words[t.i] for t in chunk if t.pos_ != "DET" and self.words[t.i] != "no")

    def _exclude(self, owner: int, chunk: Span) -> None:
        """Note that a thing is not meant, once."""
        if not self._is_excluded(owner, chunk):
            self.notes[owner].excluded.append(chunk)
            self.notes[owner].is_every |= owner == NOBODY and negation.keeps_others(self.words, chunk.start)

    def _is_excluded(self, owner: int, chunk: Span) -> bool:
        exclusions = self.notes[owner].excluded
        return any(not isinstance(other, tuple) and other.start == chunk.start for other in exclusions)

    def _is_several(self) -> bool:
        """Whether the target is: then "but" takes away from it."""
        return self.target is not None and (self.notes[self.target.start].is_every or is_plural(self.target.root))

    def _ends_range(self, i: int) -> bool:
        """ "from left TO RIGHT"."""
        return "from" in self.words[max(i - 4, 0) : i] and "to" in self.words[max(i - 2, 0) : i]

    def _words(self, i: int, count: int) -> str:
        return " ".join(self.words[i : i + count]) if i >= 0 else ""
