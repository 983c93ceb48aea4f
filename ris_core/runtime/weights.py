"""Weights on this machine: where they are, whether they are the expected bytes, and downloading what is missing.

Nothing is ever replaced by other weights: a file that is missing, or whose bytes are not the expected ones, is an error.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from huggingface_hub import constants

from ris_core.errors import UnknownName, WeightsMissing
from ris_core.runtime import downloads
from ris_core.runtime.downloads import Progress
from ris_core.runtime.registry import REGISTRY, Weight

BUNDLED_FOLDER = Path(__file__).resolve().parent / "bundled"
"""Weights that are part of the repository."""
DEFAULT_FOLDER = Path("~/.cache/label-studio-ris").expanduser()
"""Where downloaded weights are kept if the caller names no folder."""

Record = Literal["published", "observed", "recorded", "none", "repository"]
_RECORDS: Mapping[Record, str] = {
    "published": "sha256 as published",
    "observed": "sha256 as widely observed",
    "recorded": "sha256 as recorded at the first download",
    "none": "sha256 never recorded",
    "repository": "in the repository",
}
_RECORD = re.compile(r"([0-9a-fA-F]{64})\b")
"""The begin of a file that records a digest, as `sha256sum` writes it."""

_Stamp = tuple[str, int, int]
"""Path, size in bytes and time of modification in ns: a file with the same stamp was not changed."""


@dataclass(frozen=True)
class WeightStatus:
    """Whether some weights are on this machine, and whole.

    Attributes:
        state: "ready", "missing", or "damaged": there, but not the bytes it should be.
        record: What says which bytes it should be: the digest that its publisher states; one that many observed; the one that was
            recorded here at the first download; nothing, so that only its presence is known; or the repository.
        path: Where it is, or where it belongs.
        detail: What is wrong with it, or empty.
        remedy: What to do about that.
    """

    weight: Weight
    state: Literal["ready", "missing", "damaged"]
    path: Path
    record: Record
    detail: str = ""
    remedy: str = ""

    @property
    def how_known(self) -> str:
        """`record` in words."""
        return _RECORDS[self.record]


class WeightStore:
    """Weights on this machine.

    The absolute path of a file or folder is a name too: of weights that the caller brings, whose digest is measured.

    Args:
        folder: Where downloaded weights are, or go. Weights of a hub are found there as a plain file, or in the hub's
            own layout (`models--…`), directly or below `hub/`, where earlier versions downloaded them to.
        offline: Never download; by default as `HF_HUB_OFFLINE` says.
        registry: The weights that it knows, by name.
        mirrors: Addresses of folders such as this one, which are asked before the publishers.
    """

    def __init__(
        self,
        folder: Path | None = None,
        offline: bool | None = None,
        registry: Mapping[str, Weight] = REGISTRY,
        mirrors: Sequence[str] = (),
    ) -> None:
        self.folder = folder or DEFAULT_FOLDER
        self.offline = constants.HF_HUB_OFFLINE if offline is None else offline
        self.registry = registry
        self.mirrors = tuple(mirrors)
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

    def check_room(self, names: Iterable[str]) -> int:
        """See that what is to be downloaded of some weights fits on the disk; how many bytes that is, as far as sizes are known.

        Raises:
            UnknownName: If there are no weights of one of the names.
            WeightsMissing: If it does not fit; names the first, and the room for all.
        """
        absent = [weight for weight in map(self._weight, names) if not weight.bundled and self._find(weight) is None]
        needed = sum(max(0, weight.size_bytes - self._part_bytes(weight)) for weight in absent)
        existing = next(folder for folder in (self.folder, *self.folder.resolve().parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        if needed > free:
            reason = f"is missing; {needed / 1e6:,.1f} MB are needed, and {free / 1e6:,.1f} MB are free there"
            raise self._missing(absent[0], reason)
        return needed

    def digest(self, name: str) -> str:
        """Hex sha256 of the weights; that of a folder covers its files and their names.

        Raises:
            UnknownName: If there are no weights of that name.
            WeightsMissing: If they are not here and have to be read.
        """
        weight = self._weight(name)
        return weight.sha256 or self.measure(self._locate(weight, progress=None))

    def measure(self, path: Path) -> str:
        """Hex sha256 of a file, or of a folder's files and their names."""
        stamps = tuple(_stamps(path))  # a checkpoint has gigabytes: it is read again only if it changed
        if self._measured.get(path, ((), ""))[0] != stamps:
            self._measured[path] = stamps, _sha256(path)
        return self._measured[path][1]

    def status(self, name: str) -> WeightStatus:
        """Whether the weights are here and whole; downloads nothing.

        Raises:
            UnknownName: If there are no weights of that name.
        """
        weight = self._weight(name)
        path = self._find(weight)
        home = self._home(weight)
        record = self._record(weight, path or home)
        if path is None:
            part_bytes = self._part_bytes(weight)
            begun = f"is missing; {part_bytes / 1e6:,.1f} MB of it are here" if part_bytes else "is missing"
            missing = self._missing(weight, begun)
            return WeightStatus(weight, "missing", home, record, missing.wrong, missing.remedy)
        try:
            self._verify(weight, path)
        except WeightsMissing as error:
            return WeightStatus(weight, "damaged", path, record, error.wrong, error.remedy)
        return WeightStatus(weight, "ready", path, record)

    def _weight(self, name: str) -> Weight:
        if name in self.registry:
            return self.registry[name]
        if Path(name).is_absolute() and Path(name).exists():
            return Weight(name=name, path=name, about="given by its path")
        raise UnknownName(
            f"No weights named {name!r}.",
            f"Available: {', '.join(sorted(self.registry))}; or the absolute path of a file or folder that is here.",
        )

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
        """The first place that has it, whole or damaged: damaged weights are an error, not a reason to look elsewhere."""
        home = self._home(weight)
        if home.exists() and not _absent(home, weight):
            return home
        if weight.hub_repo:
            layout = f"models--{weight.hub_repo.replace('/', '--')}/snapshots"
            for root in (self.folder / "hub", self.folder):
                if snapshots := sorted((root / layout).glob(f"*/{home.name}")):
                    return snapshots[0]
        return None

    def _expected(self, weight: Weight, path: Path) -> str:
        """The digest that a file should have: the registry's, or the one recorded at its first download; else empty."""
        return weight.sha256 or ("" if weight.bundled else _read_record(path))

    def _record(self, weight: Weight, path: Path) -> Record:
        if weight.bundled:
            return "repository"
        if weight.sha256:
            return weight.sha256_origin or "observed"
        return "recorded" if _read_record(path) else "none"

    def _part_bytes(self, weight: Weight) -> int:
        part = downloads.part_of(self._home(weight))
        return part.stat().st_size if part.is_file() else 0

    def _verify(self, weight: Weight, path: Path) -> None:
        expected = self._expected(weight, path)
        if expected and (sha256 := self.measure(path)) != expected:
            raise self._missing(weight, f"({path}) has sha256 {sha256}, not {expected}; delete it", folder=path.parent)

    def _download(self, weight: Weight, progress: Progress | None) -> Path:
        home = self._home(weight)
        expected = self._expected(weight, home)
        try:
            sha256 = downloads.download(replace(weight, sha256=expected), home, self.mirrors, progress)
            if not expected:
                _write_record(home, sha256)
        except downloads.WrongBytes as error:
            reason = f"is missing, and {error.place} gives sha256 {error.sha256}, not {expected}: kept as {error.kept}, and not used"
            raise self._missing(weight, reason) from error
        except downloads.DownloadFailed as error:
            raise self._missing(weight, f"is missing, and the download from {error}") from error
        except OSError as error:
            reason = (
                f"is missing, and its download cannot be written ({error.strerror or error}); what came of it is kept"
            )
            raise self._missing(weight, reason) from error
        self._measured[home] = tuple(_stamps(home)), sha256
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


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _read_record(path: Path) -> str:
    """The digest that was recorded of a file; empty if none was."""
    try:
        match = _RECORD.match(_record_of(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return match[1].lower() if match else ""


def _write_record(path: Path, sha256: str) -> None:
    """Record the digest of a file as `sha256sum` prints it, so that `sha256sum --check` reads it."""
    record = _record_of(path)
    draft = record.with_name(f"{record.name}.new")
    draft.write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
    draft.replace(record)


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
