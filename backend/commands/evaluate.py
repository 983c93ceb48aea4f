"""`ris eval`."""

import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.base.redaction import reason_of
from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput
from ris_core.output.file_names import check_name

if TYPE_CHECKING:
    from ris_core.evaluation.dataset import Dataset
    from ris_core.evaluation.record import ImageRecord
    from ris_core.evaluation.runner import EvaluationProgress
    from ris_core.segmentation.segmenter import Segmenter
    from ris_core.types import EncodedImage, Image

SCENES = "scenes"
"""Name of the synthetic benchmark, which needs no files."""
PRINT_EVERY_S = 30
"""Seconds between two lines of progress where nobody watches."""


def evaluate(
    dataset: Annotated[str, typer.Option(help="scenes, refcoco, refcoco+, refcocog, grefcoco or phrasecut.")] = SCENES,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set; the scenes need none.")] = None,
    split: Annotated[str, typer.Option(help="val unless said; of the scenes test, or tune.")] = "",
    partition: Annotated[str, typer.Option(help="Who divided the data set: unc, umd or google.")] = "",
    wording: Annotated[str, typer.Option(help="Expressions as typed (raw) or cleaned (sent).")] = "raw",
    method: Annotated[
        list[str] | None,
        typer.Option(help="NAME or NAME:SETTING=VALUE,…; repeat for several. The profile's own unless said."),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="demo, base, …; RIS_PROFILE otherwise.")] = None,
    settings: Annotated[
        str, typer.Option(help='Settings that replace the profile\'s: {"proposer": {"points_per_side": 8}}.')
    ] = "{}",
    protocol: Annotated[
        str, typer.Option(help="How answers are counted: fixed, paper, paper-hybrid, or quirks by name.")
    ] = "fixed",
    limit: Annotated[int | None, typer.Option(help="Only so many images; the rest can be added later.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; in the state folder unless said.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Keep encoded images in this folder for other runs.")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of another run over the same expressions: its methods are compared too; repeatable."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
) -> None:
    """Measure methods on a data set, or on the synthetic benchmark; goes on where it was stopped."""
    from ris_core.evaluation.beside import EarlierRun
    from ris_core.evaluation.protocol import read_protocol

    ours, quirks = read_settings(), read_protocol(protocol)
    chosen = profile or ours.profile
    others = [EarlierRun.read(folder) for folder in beside or []]
    asked = _read_dataset(dataset, root, split, partition, wording, quirks)
    segmenters = _load(ours, chosen, method or [], settings)
    header = _header(asked, segmenters, quirks)
    folder = out or ours.state_dir / "eval" / _folder_name(chosen, header)
    _check_folder(folder, fresh)
    asked = asked.first(limit) if limit is not None else asked
    encode = _encoder(next(iter(segmenters.values())), cache, ours.cache_bytes)
    records = _measure(folder, header, asked, segmenters, encode, quirks)
    calibrated = dict(header["calibrated"])
    for other in others:
        records = other.join(records, header["dataset"])
        calibrated |= other.calibrated
    options = {
        "--dataset": asked.name,
        "--split": split,
        "--partition": partition,
        "--wording": wording if wording != "raw" else "",
        "--profile": chosen,
        "--settings": settings if settings != "{}" else "",
        "--protocol": protocol,
        "--limit": str(limit or ""),
    }
    named = [("--method", name) for name in segmenters] + [("--beside", other.folder.name) for other in others]
    typed = [part for option in [*options.items(), *named] if option[1] for part in option]
    about = {
        "data set": f"{asked.name}, {asked.split}",
        "profile": chosen,
        "methods": ", ".join(f"{name} ({version})" for name, version in header["methods"].items()),
        "protocol": protocol,
        "command": f"`{shlex.join(['ris', 'eval', *typed])}`",
    }
    print(_write(folder, asked, records, calibrated, about, quirks))
    print(f"In {folder}: report.md, report.json, journal.jsonl.", file=sys.stderr)


def read_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method's name and settings from "name" or "name:setting=value,…"; a value is JSON, or else a string.

    Raises:
        BadInput: If a setting has no value.
    """
    name, _, rest = text.partition(":")
    settings: dict[str, Any] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if not (key and equals):
            raise BadInput(
                f"The method {text!r} has the setting {part!r}; write NAME:SETTING=VALUE, as in hybrid_gl:guided=false."
            )
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return name, settings


class EvaluationProgressPrinter:
    """Counts images up on one line of standard error; a line every half minute where that is no terminal."""

    def __init__(self) -> None:
        self._printed_at = time.monotonic()

    def __call__(self, progress: "EvaluationProgress") -> None:
        """Take note of an image that is done."""
        is_last = progress.done == progress.total
        line = f"{progress.done:,} of {progress.total:,} images, {_clock(progress.remaining_s)} to go"
        if sys.stderr.isatty():
            print(f"\r{line:<60}", end="\n" if is_last else "", file=sys.stderr, flush=True)
        elif is_last or time.monotonic() - self._printed_at >= PRINT_EVERY_S:
            self._printed_at = time.monotonic()
            print(line, file=sys.stderr, flush=True)


def _read_dataset(
    name: str, root: Path | None, split: str, partition: str, wording: str, quirks: frozenset[str]
) -> "Dataset":
    from ris_core.evaluation.phrasecut import read_phrasecut
    from ris_core.evaluation.refer import PARTITIONS, read_refer

    if name == SCENES:
        from demo.benchmark import read_scenes

        return read_scenes(split or "test")
    if name != "phrasecut" and name not in PARTITIONS:
        raise BadInput(f"No data set named {name!r}. Available: {', '.join([SCENES, *PARTITIONS, 'phrasecut'])}.")
    if root is None:
        raise BadInput(f"The data set {name} is read from files. Say where they are: --root FOLDER.")
    if name == "phrasecut":
        return read_phrasecut(root, split or "val")
    return read_refer(root, name, split or "val", partition=partition, wording=wording, quirks=quirks)


def _load(ours: Settings, profile: str, methods: Sequence[str], settings: str) -> dict[str, "Segmenter"]:
    """A segmenter for each method; what any of them encodes serves all."""
    from ris_core.profiles import load_segmenters, read_profile
    from ris_core.runtime.weights import WeightStore

    named = {text: read_method(text) for text in methods or [read_profile(profile)["method"]["name"]]}
    asked = [{"name": name, **given} for name, given in named.values()]
    try:
        overrides = {kind: dict(given) for kind, given in json.loads(settings).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f'--settings is {settings!r}, which is no JSON object of objects ({reason_of(error)}). Write {{"proposer": {{…}}}}.'
        ) from error
    if "method" in overrides:
        raise BadInput("--settings names the method's settings; write them as --method NAME:SETTING=VALUE.")
    loaded = load_segmenters(profile, asked, device=ours.device, store=WeightStore(ours.model_dir), **overrides)
    if loaded[0].warning:
        print(f"note: {loaded[0].warning}", file=sys.stderr)
    return dict(zip(named, loaded, strict=True))


def _header(dataset: "Dataset", segmenters: Mapping[str, "Segmenter"], quirks: frozenset[str]) -> dict[str, Any]:
    """Everything that decides the records; of the code, what makes the answers."""
    import ris_core
    from ris_core.evaluation.dataset import digest_files
    from ris_core.evaluation.runner import TOP_K

    files = sorted(Path(ris_core.__file__).parent.rglob("*.py"))
    return {
        "dataset": [dataset.name, dataset.split, dataset.digest],
        "code": digest_files([file for file in files if file.parent.name != "evaluation"], ""),
        "methods": {name: segmenter.model_version for name, segmenter in segmenters.items()},
        "calibrated": {name: bool(s.method.settings.get("calibration")) for name, s in segmenters.items()},
        "quirks": sorted(quirks),
        "top_k": TOP_K,
    }


def _folder_name(profile: str, header: Mapping[str, Any]) -> str:
    """Another one for every choice of settings, so that runs do not meet."""
    name, split, _ = header["dataset"]
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:8]
    return check_name(f"{name}-{split}-{profile}-{digest}".replace(" ", "-"), "The run's folder")


def _check_folder(folder: Path, fresh: bool) -> None:
    """Look that a folder is a run's, or has nothing of its names; what is begun anew is a run's journal."""
    from ris_core.evaluation.journal import read_journal

    journal = folder / "journal.jsonl"
    if not os.path.lexists(journal):
        taken = [name for name in ("report.json", "report.md") if os.path.lexists(folder / name)]
        if taken:
            raise BadInput(f"{folder / taken[0]} is there, but no run wrote it. Name another --out.")
    elif fresh:
        read_journal(journal)
        journal.unlink()


def _encoder(segmenter: "Segmenter", cache: Path | None, max_bytes: int) -> Callable[["Image"], "EncodedImage"]:
    if cache is None:
        return segmenter.encode
    from backend.inference.feature_cache import FeatureCache

    kept, encode_fp = FeatureCache(cache, max_bytes), segmenter.encode_fp

    def encode(image: "Image") -> "EncodedImage":
        encoded = kept.get(encode_fp, image.sha256)
        if encoded is None:
            encoded = segmenter.encode(image)
            kept.put(encoded)
        return encoded

    return encode


def _measure(
    folder: Path,
    header: Mapping[str, Any],
    dataset: "Dataset",
    segmenters: Mapping[str, "Segmenter"],
    encode: Callable[["Image"], "EncodedImage"],
    quirks: frozenset[str],
) -> list["ImageRecord"]:
    from ris_core.evaluation import runner
    from ris_core.evaluation.journal import Journal

    with Journal(folder / "journal.jsonl", header) as journal:
        runner.run(dataset, segmenters, journal, encode=encode, quirks=quirks, report=EvaluationProgressPrinter())
        return [journal.records[item.image_id] for item in dataset.items]


def _write(
    folder: Path,
    dataset: "Dataset",
    records: Sequence["ImageRecord"],
    calibrated: Mapping[str, bool],
    about: Mapping[str, str],
    quirks: frozenset[str],
) -> str:
    """Both reports as files; the one for people is returned."""
    from ris_core.evaluation import markdown, report

    made = report.build(dataset, records, about=about, calibrated=calibrated, quirks=quirks)
    page = markdown.render(made, f"{dataset.name}, {dataset.split}")
    document = json.dumps(made.to_json(), indent=1, allow_nan=False)
    (folder / "report.json").write_text(document + "\n", encoding="utf-8")
    (folder / "report.md").write_text(page, encoding="utf-8")
    return page


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
