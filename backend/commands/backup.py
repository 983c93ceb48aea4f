"""`ris backup` and `ris restore`: copies of everything that cannot be made anew."""

import time
from pathlib import Path
from typing import Annotated

import typer

from backend.base.terminal import Progress
from backend.commands.state import check_state
from backend.settings.environment import read_settings

Out = Annotated[Path | None, typer.Argument(help="File to write; ris-backup-DATE.tar.gz in this folder if not given.")]
Backup = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `ris backup` wrote.")]


def backup(out: Out = None) -> None:
    """Write a backup of the database and of evaluations into one file. Services may keep running."""
    from backend.backup.archive import back_up

    settings = read_settings()
    check_state(settings)
    file = out or Path(f"ris-backup-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    with Progress("Copying the database") as progress:
        manifest = back_up(settings.sql_url, settings.state_dir, file, progress.count)
    print(
        f"{file}: {file.stat().st_size / (1 << 20):.1f} MiB, {sum(manifest.rows.values()):,} rows, tables {manifest.tables}. "
        "It holds what annotators typed and saved: keep it as safe as the database."
    )


def restore(file: Backup) -> None:
    """Put a backup into an empty database, as the settings name it. A backup of an older version is brought up to date."""
    from backend.backup import archive
    from backend.db.snapshot import keep_copies_in

    settings = read_settings()
    keep_copies_in(settings.state_dir)
    with Progress("Restoring the database") as progress:
        manifest = archive.restore(file, settings.sql_url, settings.state_dir, progress.count)
    time_text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created_at))
    print(
        f"Restored {sum(manifest.rows.values()):,} rows of {time_text}, made by label-studio-ris {manifest.program}. Start with `ris up`."
    )
