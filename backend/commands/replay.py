"""`ris replay`: past prompts answered again by another profile, judged by what people saved."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Column, Progress, print_table
from backend.commands.corrections_read import open_reconciled
from backend.commands.image_fetch import make_fetch
from backend.commands.options import AsJson, Offline, Profile, Project
from backend.commands.state import open_requests, profile_of
from backend.commands.studio import open_run_client
from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    from backend.corrections.judged_answers import PastPrompt
    from backend.corrections.replay import ReplayedPrompt, ReplayFigure
    from backend.inference.feature_cache import FeatureCache
    from backend.label_studio.label_config import LabelConfig
    from ris_core.evaluation.bootstrap import ConfidenceInterval
    from ris_core.segmentation.segmenter import Segmenter

SHOWN = 10
"""Changed prompts of each kind that are listed."""


def replay(
    project: Project,
    profile: Profile = None,
    encode: Annotated[
        bool, typer.Option("--encode", help="Encode the images that this profile has not encoded yet, here and now.")
    ] = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Answer the past prompts of a project again with another profile, and compare. Changes no answer and nothing in Label Studio."""
    from backend.corrections.judged_answers import read_past_prompts
    from backend.corrections.replay import replay, summarise
    from backend.inference.expressions import AnswerOptions
    from backend.inference.feature_cache import FeatureCache
    from backend.label_studio.label_config import read_config
    from backend.settings.project import read_project_settings
    from ris_core import load_segmenter
    from ris_core.runtime.weights import WeightStore

    settings = read_settings()
    connection = open_requests(settings).projects.get_connection(project)
    if connection is None:
        raise BadInput(f"Project {project} is not connected.", f"Connect it: ris connect --project {project}.")
    config, own = read_config(connection.label_config), read_project_settings(connection.extra_params)
    with open_reconciled(settings, project, offline).reading() as db:
        past = list(read_past_prompts(db, project))
    if not past:
        raise BadInput(
            f"No prompt of project {project} can be judged yet.",
            "Ask expressions, then accept, correct or delete masks.",
        )
    name = profile or own.profile or profile_of(settings)
    with Progress(f"Loading the models of the profile {name}"):
        store = WeightStore(settings.model_dir, mirrors=settings.model_mirrors)
        segmenter = load_segmenter(name, device=settings.device, store=store, **settings.component_overrides)
    cache = FeatureCache(settings.state_dir / "features", settings.cache_bytes, settings.click_cache_bytes)
    if encode:
        _encode_missing(settings, project, past, segmenter, cache, config)
    options = AnswerOptions(settings.top_k, own.min_score, own.smooth_px)
    replayed = []
    with Progress("Answering again", "prompts") as progress:
        find = lambda image: cache.get(segmenter.encode_fp, image)  # noqa: E731
        for one in replay(past, segmenter, find, config.controls[0], options):
            replayed.append(one)
            progress.count(len(replayed), len(past))
    left_out = len(past) - len(replayed)
    if not replayed:
        raise BadInput(
            f"None of the {len({one.image for one in past}):,} images has features of the profile {name}.",
            "Add --encode.",
        )
    figures = summarise(replayed)
    if as_json:
        print(json.dumps(_to_json(segmenter.model_version, replayed, figures, left_out)))
    else:
        _print(segmenter.model_version, replayed, figures, left_out)


def _encode_missing(
    settings: Settings,
    project: int,
    past: "list[PastPrompt]",
    segmenter: "Segmenter",
    cache: "FeatureCache",
    config: "LabelConfig",
) -> None:
    """Fetch and encode the images that have no features of this profile. What is done is kept if this is interrupted."""
    from backend.base.errors import ImageUnreachable
    from backend.label_studio.protocol import read_field
    from backend.runs.spec import RunSpec
    from ris_core import Image
    from ris_core.errors import BadImage

    missing = {one.task: one.image for one in past if cache.get(segmenter.encode_fp, one.image) is None}
    fetch = make_fetch(settings, project) if missing else None
    if fetch is None:
        return
    studio, done = open_run_client(settings), 0
    after: int | None = 0
    spec = RunSpec(project=project, kind="warm", tasks=tuple(sorted(map(int, missing))))
    with Progress("Encoding", "images") as progress:
        while after is not None:
            tasks, after = studio.list_tasks(spec, after)
            for task in tasks:
                address = read_field(task.data, config.image_key)
                try:
                    image = Image.open(fetch(address or "", task.id), settings.max_image_pixels)
                except (ImageUnreachable, BadImage) as error:
                    print(f"note: the image of task {task.id} is left out: {error}", file=sys.stderr)
                    continue
                if cache.get(segmenter.encode_fp, image.sha256) is None:
                    cache.put(segmenter.encode(image))
                done += 1
                progress.count(done, len(missing))


def _print(version: str, replayed: "list[ReplayedPrompt]", figures: "list[ReplayFigure]", left_out: int) -> None:
    versions = sorted({one.past.model_version for one in replayed})
    print(f"then  {', '.join(versions)}\nnow   {version}")
    images = len({one.past.image for one in replayed})
    print(f"{len(replayed):,} prompts on {images:,} images. In brackets: 95 % intervals, of the change in pairs.\n")
    rows = [
        (one.name, f"{one.then.n:,}", _show(one.then), _show(one.now), _show(one.change, sign="+")) for one in figures
    ]
    names = ("prompts", "then", "now", "change")
    print_table((Column("figure", is_fixed=True), *(Column(name, is_number=True) for name in names)), rows)
    for change, title in ((-1, "right then, wrong now"), (1, "wrong then, right now")):
        changed = [one for one in replayed if one.change == change]
        print(f"\n{title}: {len(changed):,}")
        for one in changed[:SHOWN]:
            print(f"  task {one.past.task}: {one.past.expression!a}")
        if len(changed) > SHOWN:
            print(f"  and {len(changed) - SHOWN:,} more (--json lists all)")
    print("\nWhat people saved unchanged favours the answers of then: a change near 0 may hide a gain.")
    if left_out:
        print(f"{left_out:,} prompts are left out: their images have no features of this profile. Add --encode.")


def _show(interval: "ConfidenceInterval", sign: str = "") -> str:
    if interval.value is None:
        return "-"
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def _to_json(
    version: str, replayed: "list[ReplayedPrompt]", figures: "list[ReplayFigure]", left_out: int
) -> dict[str, object]:
    return {
        "version": version,
        "prompts": len(replayed),
        "left_out": left_out,
        "figures": [
            {"name": one.name, **{side: getattr(one, side)._asdict() for side in ("then", "now", "change")}}
            for one in figures
        ],
        "changed": [
            {
                "task": one.past.task,
                "expression": one.past.expression,
                "change": one.change,
                "then": one.past.model_version,
            }
            for one in replayed
            if one.change
        ],
    }
