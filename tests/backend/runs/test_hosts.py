"""`ris bench hosts` where it cannot be run: it says why, and leaves nothing behind."""

import shutil
import subprocess
from types import SimpleNamespace

import pytest

from backend.base.errors import BadSettings
from benchmarks import hosts
from benchmarks.hosts import Cuts

FOUND = SimpleNamespace(find_binaries=lambda: "/usr/lib/postgresql/15/bin")
MISSING = SimpleNamespace(find_binaries=lambda: None)
IS_HERE, IS_NOT = (lambda _: "/usr/sbin/ip"), (lambda _: None)


@pytest.mark.parametrize(
    ("sql", "which", "user", "said"),
    [
        (MISSING, IS_HERE, 0, "apt install postgresql"),
        (FOUND, IS_NOT, 0, "apt install iproute2"),
        (FOUND, IS_HERE, 1000, "run this as root"),
    ],
    ids=["no PostgreSQL", "no ip", "not root"],
)
def test_what_is_missing_is_said(monkeypatch, sql, which, user, said):
    monkeypatch.setattr(hosts, "postgres", sql)
    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(hosts.os, "getuid", lambda: user)
    with pytest.raises(BadSettings, match=said):
        hosts.measure(Cuts())


def test_machine_that_lets_nobody_make_namespaces_is_said_with_its_own_words(monkeypatch):
    def refuse(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "mount --make-shared /run/netns failed: Not permitted")

    monkeypatch.setattr(hosts, "postgres", FOUND)
    monkeypatch.setattr(shutil, "which", IS_HERE)
    monkeypatch.setattr(hosts.os, "getuid", lambda: 0)
    monkeypatch.setattr(hosts.subprocess, "run", refuse)
    with pytest.raises(BadSettings, match=r"network namespaces \(mount .* Not permitted\)"):
        hosts.measure(Cuts())
