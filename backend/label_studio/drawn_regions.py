"""What is drawn on an image in Label Studio's JSON, as masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from backend.base.redaction import reason_of
from backend.label_studio.annotation_layout import AnnotationLayout, choose_region_texts
from backend.label_studio.drawn_shapes import NO_AREA, SHAPES, read_mask
from backend.label_studio.label_config import MESSAGE_NAME
from backend.label_studio.protocol import Json
from ris_core.geometry.masks import Rle

Wording = Literal["region", "meta", "task"]
Texts = tuple[tuple[str, tuple[str, ...]], ...]
"""Entries of texts, by the name of their control or by their id."""

GESTURES = ("click", "box")
"""What `meta.ris.by` of a region says if clicks or a box made it."""
IMPORT_NOTE = "import"
"""What `meta.ris` has of a region that came with a data set: which object it is."""
UNKNOWN_LAYOUT = AnnotationLayout()


@dataclass(frozen=True)
class DrawnRegion:
    """A region of an annotation or a prediction.

    Attributes:
        id: Label Studio's.
        from_name: The control that it belongs to.
        label: Its first label; empty if it has none.
        expression: What it is called first; None if nothing says so.
        wording: Where the expressions stand: in texts of the region, in its meta, or in the task's data.
        origin: "prediction", "prediction-changed" or "manual"; empty if nothing says so.
        score: In [0, 1]; None if it has none.
        made_for: The task that it was handed out for, if it says so.
        is_refined: Clicks or a box made or corrected it before it was accepted.
        is_imported: It came with a data set.
        mask: At the image's size.
        shape: A name of `drawn_shapes.SHAPES`; empty in records of versions that did not note it.
        expressions: All that it is called; empty in records of versions that kept the first only.
        texts: Its own texts, notes among them.
    """

    id: str
    from_name: str
    label: str
    expression: str | None
    wording: Wording | None
    origin: str
    score: float | None
    made_for: str | None
    mask: Rle
    is_refined: bool = False
    is_imported: bool = False
    shape: str = ""
    expressions: tuple[str, ...] = ()
    texts: Texts = ()

    def to_json(self) -> Json:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "DrawnRegion":
        """Of what `to_json` made, in this version or an earlier one."""
        texts = tuple((str(name), tuple(entries)) for name, entries in stored.get("texts", ()))
        return cls(**{**stored, "expressions": tuple(stored.get("expressions", ())), "texts": texts})

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that it is called, of any record."""
        return self.expressions or ((self.expression,) if self.expression else ())


def read_drawn(
    results: object, layout: AnnotationLayout = UNKNOWN_LAYOUT
) -> tuple[tuple[DrawnRegion, ...], tuple[str, ...]]:
    """The regions of a `result`, in its order, and what could not be read, in words.

    Clicks, boxes of smart tools, and messages are none. Of several results of one id the one whose value fits its type
    counts: Label Studio adds strays when a label of another control is active.

    Args:
        results: Label Studio's list.
        layout: What the project's label config says.
    """
    listed = [result for result in results if isinstance(result, Mapping)] if isinstance(results, list) else []
    texts, labels = _texts_by_region(listed), _labels_by_region(listed)
    regions: dict[str, DrawnRegion] = {}
    problems = []
    for result in listed:
        kind = str(result.get("type", "")).removesuffix("labels")
        value, region_id = result.get("value"), str(result.get("id", ""))
        if result.get("from_name") in layout.gestures or not isinstance(value, Mapping) or region_id in regions:
            continue
        problem = _find_problem(kind, value, result, layout)
        if problem is None and SHAPES.get(kind) in value:
            try:
                mask = read_mask(kind, result)
                regions[region_id] = _make_region(result, kind, mask, texts.get(region_id, {}), labels, layout)
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                problem = reason_of(error)
        if problem:
            problems.append(f"region {region_id}: {problem}")
    return tuple(regions.values()), tuple(problems)


def _find_problem(
    kind: str, value: Mapping[str, Any], result: Mapping[str, Any], layout: AnnotationLayout
) -> str | None:
    """Why something drawn is not read, if its kind or its place says so."""
    if layout.image_name is None:
        return None
    if kind in NO_AREA and "original_width" in result:
        return f"{NO_AREA[kind]} has no mask"
    if SHAPES.get(kind) in value and result.get("to_name", layout.image_name) != layout.image_name:
        return f"drawn on {result['to_name']!r}; only regions of the image {layout.image_name!r} are read"
    return None


def _make_region(
    result: Mapping[str, Any],
    shape: str,
    mask: Rle,
    texts: Mapping[str, tuple[str, ...]],
    labels: Mapping[str, str],
    layout: AnnotationLayout,
) -> DrawnRegion:
    region_id = str(result.get("id", ""))
    own = _expressions(texts, layout.region_texts)
    meta = () if own else _meta_texts(result)
    return DrawnRegion(
        id=region_id,
        from_name=str(result.get("from_name", "")),
        label=_first(result["value"].get(f"{shape}labels")) or labels.get(region_id, ""),
        expression=next(iter(own or meta), None),
        wording="region" if own else "meta" if meta else None,
        origin=str(result.get("origin") or ""),
        score=read_number(result.get("score")),
        made_for=_made_for(result),
        mask=mask,
        is_refined=_read_notes(result).get("by") in GESTURES,
        is_imported=IMPORT_NOTE in _read_notes(result),
        shape=shape,
        expressions=own or meta,
        texts=tuple(texts.items()),
    )


def _expressions(texts: Mapping[str, tuple[str, ...]], known: Sequence[str]) -> tuple[str, ...]:
    """A region's expressions among its texts; of a control that the label config lacks now, if there are no others."""
    strangers = [name for name in texts if name not in known]
    for names in (choose_region_texts(known), choose_region_texts(strangers)):
        if entries := tuple(entry for name in names for entry in texts.get(name, ())):
            return entries
    return ()


def _texts_by_region(listed: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Entries of the texts of each region, by the name of their control."""
    texts: dict[str, dict[str, tuple[str, ...]]] = {}
    for result in listed:
        if result.get("type") == "textarea" and (entries := _texts(result)):
            of_region, name = texts.setdefault(str(result.get("id")), {}), str(result.get("from_name", ""))
            of_region[name] = of_region.get(name, ()) + entries
    return texts


def _labels_by_region(listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The label of each region whose labels are a control of their own, `<Labels>`."""
    return {
        str(result.get("id")): label
        for result in listed
        if result.get("type") == "labels" and isinstance(value := result.get("value"), Mapping)
        if (label := _first(value.get("labels")))
    }


def read_texts(results: object, layout: AnnotationLayout = UNKNOWN_LAYOUT) -> Texts:
    """Id and entries of every text that belongs to the whole task, such as the prompt; messages and notes are none."""
    listed = [result for result in results if isinstance(result, Mapping)] if isinstance(results, list) else []
    regions = {str(result.get("id")) for result in listed if result.get("type") != "textarea"}
    return tuple(
        (str(result.get("id")), _texts(result))
        for result in listed
        if result.get("type") == "textarea"
        and result.get("from_name") not in (MESSAGE_NAME, *layout.notes)
        and str(result.get("id")) not in regions
    )


def read_number(value: object) -> float | None:
    """The number that a field should be; None if it is something else, or none that a database takes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**63 else None


def _meta_texts(result: Mapping[str, Any]) -> tuple[str, ...]:
    return _texts({"value": result.get("meta")})


def _made_for(result: Mapping[str, Any]) -> str | None:
    """As answers and runs note it."""
    task = _read_notes(result).get("task")
    return task if isinstance(task, str) else None


def _read_notes(result: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = result.get("meta")
    notes = meta.get("ris") if isinstance(meta, Mapping) else None
    return notes if isinstance(notes, Mapping) else {}


def _texts(result: Mapping[str, Any]) -> tuple[str, ...]:
    value = result.get("value")
    texts = value.get("text") if isinstance(value, Mapping) else None
    return tuple(text.strip() for text in _listed(texts) if isinstance(text, str) and text.strip())


def _first(value: object) -> str | None:
    return next((text.strip() for text in _listed(value) if isinstance(text, str) and text.strip()), None)


def _listed(value: object) -> Iterable[object]:
    return [value] if isinstance(value, str) else value if isinstance(value, Sequence) else ()
