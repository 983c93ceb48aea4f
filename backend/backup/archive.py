"""A backup is one tar file: the database, results of evaluations, and a manifest with the size and sha256 of each.

Not in it, since it can be made anew: encoded images, Redis, logs, process records. Settings and secrets are not in it either: they come
from the environment, which belongs to whoever runs the service.
"""

import contextlib
import hashlib
import json
import os
import tarfile
import tempfile
import time
import zlib
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Any

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from backend.base import processes
from backend.base.errors import BadSettings
from backend.db import snapshot
from backend.db.database import open_database, translate_errors
from ris_core.errors import BadInput

DATABASE, MANIFEST = "database.sqlite3", "manifest.json"
FOLDERS = ("eval",)
"""Folders of the state folder that go into a backup."""
FORMAT = 1
CHUNK = 1 << 20
Report = snapshot.Report


@dataclass(frozen=True)
class BackupMember:
    """A file in a backup.

    Attributes:
        name: Its path in the backup, with "/".
        bytes: Its size.
        sha256: Hex digest of its content.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class BackupManifest:
    """What a backup says of itself.

    Attributes:
        format: Of the backup; another one cannot be read.
        program: Version of label-studio-ris that made it.
        tables: Version of the database's tables.
        database: Kind of the database that was copied: "sqlite" or "postgresql".
        created_at: Seconds since 1970.
        rows: Rows of each table.
        members: Every file of it but the manifest.
    """

    format: int
    program: str
    tables: str
    database: str
    created_at: float
    rows: dict[str, int]
    members: tuple[BackupMember, ...]


def back_up(sql_url: str, state_dir: Path, file: Path, report: Report = lambda done, total: None) -> BackupManifest:
    """Write a backup into a new file, which appears whole or not at all. Services may run meanwhile.

    Raises:
        BadInput: If the file is there already.
        BadSettings: If there is no database.
        Unreachable: If the database does not answer, or a disk has no room.
    """
    if file.exists():
        raise BadInput(f"{file} is there already. Name a new file.")
    file.parent.mkdir(parents=True, exist_ok=True)
    url = sa.make_url(sql_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise BadSettings(f"There is no database {url.database}.", "Check DATABASE_URL and RIS_STATE_DIR.")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    unfinished = file.with_name(f".{file.name}.part")
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".ris-backup-") as folder:
            copy = Path(folder) / DATABASE
            with translate_errors():
                snapshot.write_snapshot(engine, copy, report)
            tables = snapshot.read_revision(copy)
            if tables is None:
                raise BadSettings(
                    "The database has no tables of label-studio-ris.", "Check DATABASE_URL and RIS_STATE_DIR."
                )
            manifest = _write(unfinished, copy, state_dir, tables, engine.dialect.name)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
        engine.dispose()
    return manifest


def restore(file: Path, sql_url: str, state_dir: Path, report: Report = lambda done, total: None) -> BackupManifest:
    """Put a backup into an empty database and state folder, and bring it up to date.

    A restore that was cut short leaves an empty database, or none: the next one succeeds.

    Raises:
        BadInput: If the file is no backup, is damaged, or a newer version made it.
        BadSettings: If services run with this state folder, or the database is not empty.
        Unreachable: If the database does not answer, or a disk has no room.
    """
    if running := [child.name for child in processes.children(state_dir) if child.is_running]:
        raise BadSettings(
            f"These run with {state_dir}: {', '.join(running)}.", "Stop them with `ris down`, then restore."
        )
    with _open_archive(file) as archive:
        manifest = _read_manifest(archive, file)
        url = sa.make_url(sql_url)
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_file = url.get_backend_name() == "sqlite"
        folder = Path(str(url.database)).parent if is_file else state_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".ris-restore-") as work:
            for member in manifest.members:
                _extract(archive, member, Path(work))
            _fill_database(Path(work) / DATABASE, url, report)
            for member in manifest.members:
                if member.name != DATABASE:
                    target = state_dir / member.name
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    os.replace(Path(work) / member.name, target)
    open_database(sql_url).dispose()
    return manifest


def _fill_database(copy: Path, url: sa.URL, report: Report) -> None:
    # not by `open_database`: that would make a SQLite file, migrate it, and watch over it while it is replaced
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with translate_errors():
            if not snapshot.is_empty(engine):
                raise BadSettings(
                    f"The database {url.render_as_string(hide_password=True)} is not empty.",
                    "Restore into a new RIS_STATE_DIR, or name an empty database with DATABASE_URL.",
                )
            snapshot.restore_snapshot(copy, engine, report)
    finally:
        engine.dispose()


def _write(file: Path, copy: Path, state_dir: Path, tables: str, database: str) -> BackupManifest:
    with _open_private(file) as stream, tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        members = [_add(archive, DATABASE, copy)]
        for folder in FOLDERS:
            for one in sorted((state_dir / folder).rglob("*")):
                if one.is_file() and not one.is_symlink():
                    members.append(_add(archive, one.relative_to(state_dir).as_posix(), one))
        rows = snapshot.count_rows(copy)
        program = version("label-studio-ris")
        manifest = BackupManifest(FORMAT, program, tables, database, time.time(), rows, tuple(members))
        content = json.dumps(asdict(manifest), indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(content), 0o600
        with tempfile.TemporaryFile() as text:
            text.write(content)
            text.seek(0)
            archive.addfile(info, text)
    return manifest


def _add(archive: tarfile.TarFile, name: str, file: Path) -> BackupMember:
    """Add a file as it is now: it is copied first, since it may grow meanwhile."""
    with tempfile.TemporaryFile() as copy, file.open("rb") as source:
        digest = _copy(source, copy)
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = copy.tell(), 0o600, int(file.stat().st_mtime)
        copy.seek(0)
        archive.addfile(info, copy)
    return BackupMember(name, info.size, digest)


def _read_manifest(archive: tarfile.TarFile, file: Path) -> BackupManifest:
    content = _open_member(archive, MANIFEST, file).read()
    try:
        values: dict[str, Any] = json.loads(content)
        members = tuple(BackupMember(**member) for member in values.pop("members"))
        manifest = BackupManifest(**values, members=members)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{file} has a manifest that cannot be read. Use another backup.") from error
    revisions = {script.revision for script in ScriptDirectory(str(snapshot.MIGRATIONS)).walk_revisions()}
    if manifest.format != FORMAT or manifest.tables not in revisions:
        raise BadInput(
            f"{file} was made by label-studio-ris {manifest.program}, which is newer than this one. Install that version, then restore."
        )
    names = [member.name for member in manifest.members]
    if DATABASE not in names or any(not _is_inside(name) for name in names):
        raise BadInput(f"{file} is no backup of label-studio-ris, or was changed. Use another backup.")
    return manifest


def _is_inside(name: str) -> bool:
    """Whether a member's name is one that a backup has: the database, or a file below one of its folders."""
    path = PurePosixPath(name)
    return name == DATABASE or (path.parts[0] in FOLDERS and len(path.parts) > 1 and ".." not in path.parts)


def _extract(archive: tarfile.TarFile, member: BackupMember, folder: Path) -> None:
    target = folder / member.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.closing(_open_private(target)) as file:
        digest = _copy(_open_member(archive, member.name, folder), file)
        size = file.tell()
    if (size, digest) != (member.bytes, member.sha256):
        raise BadInput(
            f"{member.name} in the backup is damaged: its sha256 is not the one in the manifest. Use another backup."
        )


def _open_member(archive: tarfile.TarFile, name: str, file: Path) -> IO[bytes]:
    try:
        content = archive.extractfile(name)
    except (KeyError, tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"The backup {file} has no {name}, or is damaged. Use another backup.") from error
    if content is None:  # a link or a folder of that name
        raise BadInput(f"{name} in the backup {file} is no file. Use another backup.")
    return content


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    try:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput("The backup is damaged: it ends too early. Use another backup.") from error
    return digest.hexdigest()


def _open_private(file: Path) -> IO[bytes]:
    return os.fdopen(os.open(file, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600), "w+b")


def _open_archive(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{file} is no backup of label-studio-ris. Name a file that `ris backup` wrote.") from error
