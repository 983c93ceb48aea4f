"""Weights by name: where they come from, which bytes they must be, where they are on this machine.

Nothing is ever replaced by other weights: a file that is missing, or whose bytes are not the expected ones, is an error.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.utils.tqdm import tqdm

from ris_core.errors import UnknownName, WeightsMissing

BUNDLED_FOLDER = Path(__file__).resolve().parent / "bundled"
"""Where the repository keeps the weights that it brings along."""
DEFAULT_FOLDER = Path("~/.cache/label-studio-ris").expanduser()
"""Where downloaded weights are kept if the caller names no folder."""
TIMEOUT_S = 30.0
"""Longest silence of a download's server."""
CHUNK_BYTES = 1 << 20

Progress = Callable[[str, int, int], None]
"""Called as (name of the weights, bytes so far, bytes in all or 0 if unknown)."""

_Stamp = tuple[str, int, int]
"""Path, size in bytes and time of modification in ns: what tells that a file was not touched."""


@dataclass(frozen=True)
class Weight:
    """A file or folder of weights.

    Attributes:
        name: What profiles call it.
        path: The file or folder, relative to the store's folder, or to `BUNDLED_FOLDER` if bundled.
        about: What it is, in a line.
        licence: Licence of the weights.
        contains: Files that a folder must hold to be whole.
        sha256: Hex digest of the file; empty for bundled weights, which are under version control.
        url: Where to download the file from.
        hub_repo: The model hub's repository that holds the file, instead of `url`.
        hub_revision: Commit of `hub_repo`.
        profile: A profile that uses it, for the advice how to get it.
    """

    name: str
    path: str
    about: str = ""
    licence: str = ""
    contains: tuple[str, ...] = ()
    sha256: str = ""
    url: str = ""
    hub_repo: str = ""
    hub_revision: str = ""
    profile: str = ""

    @property
    def bundled(self) -> bool:
        """It is part of the repository and cannot be downloaded."""
        return not (self.url or self.hub_repo)

    @property
    def command(self) -> str:
        """What gets it."""
        return "make demo-train" if self.bundled else f"ris models pull {self.profile or self.name}"


@dataclass(frozen=True)
class WeightStatus:
    """What is known of some weights on this machine.

    Attributes:
        state: "ready", "missing", or "damaged": there, but not the bytes it should be.
        path: Where it is, or where it belongs.
        detail: What is wrong with it, or empty.
        remedy: What to do about that.
    """

    weight: Weight
    state: Literal["ready", "missing", "damaged"]
    path: Path
    detail: str = ""
    remedy: str = ""


def _sam(architecture: str, file: str, sha256: str, profile: str = "") -> Weight:
    return Weight(
        name=f"sam-{architecture}",
        path=file,
        about=f"Segment Anything, {architecture}",
        licence="Apache-2.0",
        sha256=sha256,
        url=f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        profile=profile,
    )


def _openai_clip(name: str, file: str, sha256: str, about: str, profile: str) -> Weight:
    return Weight(
        name=name,
        path=f"{name}/{file}",
        about=f"OpenAI CLIP {about}, to be used with QuickGELU",
        licence="MIT",
        sha256=sha256,
        url=f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}",
        profile=profile,
    )


REGISTRY: Mapping[str, Weight] = {
    weight.name: weight
    for weight in (
        Weight(
            name="sam-tiny",
            path="sam-tiny.safetensors",
            about="SAM-tiny, trained by this project on synthetic scenes",
            licence="Apache-2.0",
        ),
        Weight(
            name="clip-tiny",
            path="clip-tiny",
            about="CLIP-tiny, trained by this project on synthetic scenes",
            licence="Apache-2.0",
            contains=("open_clip_config.json", "open_clip_model.safetensors"),
        ),
        Weight(
            name="parser-tiny",
            path="parser",
            about="English dependency parser, trained by this project on UD English EWT and generated expressions",
            licence="CC BY-SA 4.0",
            contains=("meta.json", "config.cfg"),
        ),
        _sam(
            "vit-b", "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", "base"
        ),
        _sam("vit-l", "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
        _sam(
            "vit-h", "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", "large"
        ),
        Weight(
            name="clip-vit-b-16",
            path="clip-vit-b-16/open_clip_model.safetensors",
            about="OpenAI CLIP ViT-B/16, to be used with QuickGELU",
            licence="MIT",
            sha256="4b8699299b1e8997753c64b052ba32031449d5d853f55a039148560ee02b820f",
            hub_repo="timm/vit_base_patch16_clip_224.openai",
            hub_revision="977e3dd0ec55ab8da155f2fbeb6b5f54948b6e3d",
            profile="base",
        ),
        _openai_clip(
            "clip-vit-b-32",
            "ViT-B-32.pt",
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            "ViT-B/32",
            "paper-gl",
        ),
        _openai_clip(
            "clip-rn50",
            "RN50.pt",
            "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
            "ResNet-50",
            "paper-gl-rn50",
        ),
        _openai_clip(
            "clip-vit-l-14",
            "ViT-L-14.pt",
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            "ViT-L/14",
            "large",
        ),
    )
}
"""All weights that the profiles use."""


class WeightStore:
    """Weights on this machine.

    Args:
        folder: Where downloaded weights are, or go. Weights of a hub are found there as a plain file, or in the hub's
            own layout (`models--…`), directly or below `hub/`.
        offline: Never download; by default as `HF_HUB_OFFLINE` says.
        registry: What weights there are.
    """

    def __init__(
        self, folder: Path | None = None, offline: bool | None = None, registry: Mapping[str, Weight] = REGISTRY
    ) -> None:
        self.folder = folder or DEFAULT_FOLDER
        self.offline = constants.HF_HUB_OFFLINE if offline is None else offline
        self.registry = registry
        self._measured: dict[Path, tuple[tuple[_Stamp, ...], str]] = {}

    def locate(self, name: str) -> Path:
        """The verified file or folder of some weights; downloaded if it is not here.

        Raises:
            UnknownName: If there are no weights of that name.
            WeightsMissing: If they are not here and cannot be downloaded, or are not the bytes they should be.
        """
        return self._locate(self._weight(name), progress=None)

    def pull(self, names: Iterable[str], progress: Progress | None = None) -> list[Path]:
        """Download what is not here yet, and verify all.

        Raises:
            UnknownName: If there are no weights of one of the names.
            WeightsMissing: If some cannot be downloaded, or are not the bytes they should be.
        """
        return [self._locate(weight, progress) for weight in [self._weight(name) for name in names]]

    def digest(self, name: str) -> str:
        """Hex sha256 of the weights; that of a folder covers its files and their names.

        Raises:
            UnknownName: If there are no weights of that name.
            WeightsMissing: If they are not here and have to be read.
        """
        weight = self._weight(name)
        return weight.sha256 or self._measure(self._locate(weight, progress=None))

    def status(self, name: str) -> WeightStatus:
        """Whether the weights are here and whole; downloads nothing.

        Raises:
            UnknownName: If there are no weights of that name.
        """
        weight = self._weight(name)
        path = self._find(weight)
        if path is None:
            missing = self._missing(weight)
            return WeightStatus(weight, "missing", self._home(weight), missing.wrong, missing.remedy)
        try:
            self._verify(weight, path)
        except WeightsMissing as error:
            return WeightStatus(weight, "damaged", path, error.wrong, error.remedy)
        return WeightStatus(weight, "ready", path)

    def _weight(self, name: str) -> Weight:
        if name not in self.registry:
            raise UnknownName(f"No weights named {name!r}.", f"Available: {', '.join(sorted(self.registry))}.")
        return self.registry[name]

    def _home(self, weight: Weight) -> Path:
        return (BUNDLED_FOLDER if weight.bundled else self.folder) / weight.path

    def _locate(self, weight: Weight, progress: Progress | None) -> Path:
        path = self._find(weight)
        if path is None:
            if weight.bundled:
                raise self._missing(weight)
            if self.offline:
                raise self._missing(weight, "is missing, and downloads are switched off (HF_HUB_OFFLINE)")
            path = self._download(weight, progress)
        self._verify(weight, path)
        return path

    def _find(self, weight: Weight) -> Path | None:
        """The first place that has it, whole or damaged: damaged weights are to be noticed, not passed over."""
        home = self._home(weight)
        if home.exists() and not _absent(home, weight):
            return home
        if weight.hub_repo:
            layout = f"models--{weight.hub_repo.replace('/', '--')}/snapshots"
            for root in (self.folder / "hub", self.folder):
                if found := sorted((root / layout).glob(f"*/{home.name}")):
                    return found[0]
        return None

    def _verify(self, weight: Weight, path: Path) -> None:
        if weight.sha256 and (found := self._measure(path)) != weight.sha256:
            raise self._missing(
                weight, f"({path}) has sha256 {found}, not {weight.sha256}; delete it", folder=path.parent
            )

    def _measure(self, path: Path) -> str:
        stamps = tuple(_stamps(path))
        if self._measured.get(path, ((), ""))[0] != stamps:
            self._measured[path] = stamps, _sha256(path)
        return self._measured[path][1]

    def _download(self, weight: Weight, progress: Progress | None) -> Path:
        try:
            if weight.hub_repo:
                return self._download_from_hub(weight, progress)
            return self._download_from_url(weight, progress)
        except (httpx.HTTPError, OSError, ValueError) as error:
            source = weight.url or f"the hub's {weight.hub_repo}"
            raise self._missing(weight, f"is missing, and the download from {source} failed ({error!r})") from error

    def _download_from_hub(self, weight: Weight, progress: Progress | None) -> Path:
        path = huggingface_hub.hf_hub_download(
            weight.hub_repo,
            self._home(weight).name,
            revision=weight.hub_revision,
            cache_dir=self.folder / "hub",
            tqdm_class=_reporting_bar(weight.name, progress),
        )
        return Path(path)

    def _download_from_url(self, weight: Weight, progress: Progress | None) -> Path:
        home = self._home(weight)
        home.parent.mkdir(parents=True, exist_ok=True)
        part = home.with_name(f"{home.name}.{os.getpid()}.part")
        try:
            hasher = hashlib.sha256()
            with part.open("wb") as file:
                for chunk in _stream(weight, progress):
                    file.write(chunk)
                    hasher.update(chunk)
            if hasher.hexdigest() != weight.sha256:
                found = hasher.hexdigest()
                raise self._missing(weight, f"is missing, and {weight.url} gives sha256 {found}, not {weight.sha256}")
            part.replace(home)
        finally:
            part.unlink(missing_ok=True)
        return home

    def _missing(self, weight: Weight, reason: str = "is missing", folder: Path | None = None) -> WeightsMissing:
        home = self._home(weight)
        if weight.contains:
            name, belongs = f"{weight.path}/{_absent(home, weight) or weight.contains[0]}", home
        else:
            name, belongs = home.name, home.parent
        return WeightsMissing(name=name, folder=folder or belongs, command=weight.command, reason=reason)


def _absent(home: Path, weight: Weight) -> str:
    """The first file that a folder lacks, or empty."""
    return next((file for file in weight.contains if not (home / file).is_file()), "")


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _stamps(path: Path) -> Iterator[_Stamp]:
    for file in _files(path):
        stat = file.stat()
        yield str(file), stat.st_size, stat.st_mtime_ns


def _sha256(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"{_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in _files(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _stream(weight: Weight, progress: Progress | None) -> Iterator[bytes]:
    with httpx.stream("GET", weight.url, follow_redirects=True, timeout=TIMEOUT_S) as response:
        response.raise_for_status()
        total, done = int(response.headers.get("content-length", 0)), 0
        for chunk in response.iter_raw(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if progress:
                progress(weight.name, done, total)


def _reporting_bar(name: str, progress: Progress | None) -> type[tqdm]:
    """The hub's progress bar, reporting to `progress` instead of the terminal."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
            self.done, self.all = int(kwargs.get("initial") or 0), int(kwargs.get("total") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.done += int(n or 0)
            if progress:
                progress(name, self.done, self.all)
            is_drawn: bool | None = super().update(n)
            return is_drawn

    return Bar
