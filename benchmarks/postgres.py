"""A PostgreSQL of tests' or a benchmark's own, if one is installed: on a unix socket, or for a network that nobody else is in."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl: Debian keeps it off the PATH."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextmanager
def server(binaries: Path, address: str | None = None, port: int = 5432) -> Iterator[str]:
    """A server in a folder of its own; its URL. It refuses to run as root, so that becomes somebody else for it.

    Args:
        address: Where it listens; on its socket only if not given. It asks nobody for a password.
    """
    folder = Path(tempfile.mkdtemp(prefix="ris-pg-"))
    user = _other_user()
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            [str(binaries / command[0]), *command[1:]],
            check=True,
            cwd=folder,
            timeout=60,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )

    run("initdb", "-D", str(data), "-U", "ris", "--auth=trust", "--no-sync")
    if address:
        with (data / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write("host all all samenet trust\n")
    options = f"-k {folder} -c listen_addresses={address or ''} -p {port} -c fsync=off"
    run("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://ris@/postgres?host={address or folder}&port={port}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _other_user() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
