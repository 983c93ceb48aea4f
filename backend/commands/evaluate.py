"""`ris eval`: measures methods on a data set."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.base.terminal import Progress
from backend.commands.evaluate_inputs import (
    SCENES,
    check_folder,
    folder_name,
    load_segmenters,
    make_encoder,
    make_header,
    read_dataset,
)
from backend.commands.options import Profile
from backend.commands.state import profile_of
from backend.settings.environment import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ris_core.evaluation.dataset import Dataset
    from ris_core.evaluation.record import EvaluatedImage
    from ris_core.evaluation.runner import EvaluationProgress
    from ris_core.segmentation.segmenter import Segmenter
    from ris_core.types import EncodedImage, Image

DatasetName = Annotated[
    str, typer.Option("--dataset", help="scenes, refcoco, refcoco+, refcocog, grefcoco or phrasecut.")
]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set; the scenes need none.")]
Split = Annotated[str, typer.Option(help="Split to use: val if not given; for the scenes test (the default) or tune.")]
Partition = Annotated[str, typer.Option(help="Author of the data set's split: unc, umd or google.")]
Wording = Annotated[str, typer.Option(help="Use the expressions as typed (raw) or cleaned (sent).")]
Style = Annotated[
    str,
    typer.Option(
        help="Style of the scenes' expressions: templates, free (by hand), everyday (places), or of other drawings: "
        "second, practice, held."
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="NAME or NAME:SETTING=VALUE,…; repeatable. The profile's method if not given.",
    ),
]
ProfileSettings = Annotated[
    str, typer.Option(help='Settings that replace the profile\'s, as in {"proposer": {"points_per_side": 8}}.')
]
Protocol = Annotated[str, typer.Option(help="How answers are scored: fixed, paper, paper-hybrid, or quirks by name.")]
Limit = Annotated[int | None, typer.Option(help="Evaluate at most this many images; others can be added later.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the results; inside the state folder if not given.")]
Cache = Annotated[Path | None, typer.Option(help="Store encoded images in this folder and reuse them.")]
Beside = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="Results of another run over the same expressions; its methods are compared too. Repeatable.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete earlier results in the folder and start over.")]


def evaluate(
    dataset: DatasetName = SCENES,
    root: Root = None,
    split: Split = "",
    partition: Partition = "",
    wording: Wording = "raw",
    style: Style = "templates",
    method: Methods = None,
    profile: Profile = None,
    settings: ProfileSettings = "{}",
    protocol: Protocol = "fixed",
    limit: Limit = None,
    out: Out = None,
    cache: Cache = None,
    beside: Beside = None,
    fresh: Fresh = False,
) -> None:
    """Evaluate methods on a data set or the synthetic benchmark. An interrupted evaluation is continued."""
    from ris_core.evaluation.beside import EarlierRun
    from ris_core.evaluation.protocol import read_protocol

    ours, quirks = read_settings(), read_protocol(protocol)
    profile = profile or profile_of(ours)
    others = [EarlierRun.read(folder) for folder in beside or []]
    items = read_dataset(dataset, root, split, partition, wording, quirks, style)
    segmenters = load_segmenters(ours, profile, method or [], settings)
    header = make_header(items, segmenters, quirks)
    folder = out or ours.state_dir / "eval" / folder_name(profile, header)
    check_folder(folder, fresh)
    items = items.first(limit) if limit is not None else items
    encode = make_encoder(next(iter(segmenters.values())), cache, ours.cache_bytes)
    records = _measure(folder, header, items, segmenters, encode, quirks)
    calibrated = dict(header["calibrated"])
    for other in others:
        records = other.join(records, header["dataset"])
        calibrated |= other.calibrated
    options = {
        "--dataset": dataset,
        "--split": split,
        "--partition": partition,
        "--wording": wording if wording != "raw" else "",
        "--style": style if style != "templates" else "",
        "--profile": profile,
        "--settings": settings if settings != "{}" else "",
        "--protocol": protocol,
        "--limit": str(limit or ""),
    }
    repeated = [("--method", name) for name in segmenters] + [("--beside", other.folder.name) for other in others]
    about = {
        "data set": f"{items.name}, {items.split}",
        "profile": profile,
        "methods": ", ".join(f"{name} ({version})" for name, version in header["methods"].items()),
        "protocol": protocol,
        "command": _command([*options.items(), *repeated]),
    }
    print(_write(folder, items, records, calibrated, about, quirks))
    print(f"In {folder}: report.md, report.json, journal.jsonl.", file=sys.stderr)


def _command(options: Sequence[tuple[str, str]]) -> str:
    """The command that repeats the evaluation, as Markdown."""
    arguments = [part for option in options if option[1] for part in option]
    return f"`{shlex.join(['ris', 'eval', *arguments])}`"


def _measure(
    folder: Path,
    header: Mapping[str, Any],
    dataset: "Dataset",
    segmenters: Mapping[str, "Segmenter"],
    encode: "Callable[[Image], EncodedImage]",
    quirks: frozenset[str],
) -> list["EvaluatedImage"]:
    """Evaluate the images that the journal lacks; the records of all."""
    from ris_core.evaluation import runner
    from ris_core.evaluation.journal import Journal

    with Journal(folder / "journal.jsonl", header) as journal, Progress("Evaluating", "images") as progress:

        def report(state: "EvaluationProgress") -> None:
            progress.count(state.done, state.total)

        runner.run(dataset, segmenters, journal, encode=encode, quirks=quirks, report=report)
        return [journal.records[item.image_id] for item in dataset.items]


def _write(
    folder: Path,
    dataset: "Dataset",
    records: Sequence["EvaluatedImage"],
    calibrated: Mapping[str, bool],
    about: Mapping[str, str],
    quirks: frozenset[str],
) -> str:
    """Write both reports; returns the one in Markdown."""
    from ris_core.evaluation import markdown, report

    with Progress("Computing the metrics"):
        result = report.build(dataset, records, about=about, calibrated=calibrated, quirks=quirks)
    page = markdown.render(result, f"{dataset.name}, {dataset.split}")
    document = json.dumps(result.to_json(), indent=1, allow_nan=False)
    (folder / "report.json").write_text(document + "\n", encoding="utf-8")
    (folder / "report.md").write_text(page, encoding="utf-8")
    return page
