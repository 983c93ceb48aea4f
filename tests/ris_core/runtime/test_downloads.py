"""Downloads from servers that cut, refuse, lie and hide behind proxies: real ones, on loopback."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ris_core.errors import WeightsMissing
from ris_core.runtime import downloads
from ris_core.runtime.registry import REGISTRY, Weight
from ris_core.runtime.weights import WeightStore
from tests.ris_core.runtime.origins import CONTENT, CUT_AT, Origin, make_certificates, proxy, serve

pytestmark = pytest.mark.slow

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def origin() -> Iterator[str]:
    with serve() as url:
        yield url


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAUSES_S", (0.01, 0.01))


def make_store(folder: Path, url: str, *, mirrors: tuple[str, ...] = (), **changes: object) -> WeightStore:
    weight = Weight("thing", "thing.pth", sha256=SHA256, size_bytes=len(CONTENT), url=url, profile="base")
    changed = replace(weight, **changes)  # type: ignore[arg-type]  # fields of a weight
    return WeightStore(folder, offline=False, registry={"thing": changed}, mirrors=mirrors)


def ranges() -> list[str | None]:
    return [wanted for _, wanted in Origin.requests]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_cut_download_goes_on_where_it_was_cut(origin: str, tmp_path: Path):
    assert make_store(tmp_path, f"{origin}/cut").locate("thing").read_bytes() == CONTENT
    assert ranges() == [None, f"bytes={CUT_AT}-"]
    assert names(tmp_path) == ["thing.pth"]


def test_a_later_call_goes_on_where_an_earlier_one_ended(origin: str, tmp_path: Path):
    with pytest.raises(WeightsMissing, match=rf"ended|closed|{CUT_AT}"):
        make_store(tmp_path, f"{origin}/always-cut").locate("thing")
    assert (tmp_path / "thing.pth.part").stat().st_size == CUT_AT
    status = make_store(tmp_path, f"{origin}/plain").status("thing")
    assert (status.state, "1.1 MB of it are here" in status.detail) == ("missing", True)
    assert make_store(tmp_path, f"{origin}/plain").locate("thing").read_bytes() == CONTENT
    assert Origin.requests[-1] == ("/plain", f"bytes={CUT_AT}-")


@pytest.mark.parametrize(
    ("how", "asked"),
    [
        pytest.param("no-range", [None, f"bytes={CUT_AT}-"], id="sends all again"),
        pytest.param("shifted", [None, f"bytes={CUT_AT}-", None], id="goes on elsewhere than it was asked to"),
        pytest.param("digits", [None, f"bytes={CUT_AT}-", None], id="says a size that Python reads as no number"),
    ],
)
def test_a_server_that_does_not_resume_is_noticed(origin: str, tmp_path: Path, how: str, asked: list):
    assert make_store(tmp_path, f"{origin}/{how}").locate("thing").read_bytes() == CONTENT
    assert ranges() == asked


def test_a_server_that_always_cuts_is_given_up(origin: str, tmp_path: Path):
    with pytest.raises(WeightsMissing, match=r"download from http://127\.0\.0\.1:\d+/no-range-cut failed"):
        make_store(tmp_path, f"{origin}/no-range-cut").locate("thing")
    assert len(Origin.requests) == 3  # the first, and one after each pause
    assert names(tmp_path) == ["thing.pth.part"]


def test_a_whole_part_is_not_asked_for_again(origin: str, tmp_path: Path):
    (tmp_path / "thing.pth.part").write_bytes(CONTENT)
    assert make_store(tmp_path, f"{origin}/plain").locate("thing").read_bytes() == CONTENT
    assert Origin.requests == []


def test_other_bytes_are_refused_and_kept_aside(origin: str, tmp_path: Path):
    for number in ("", "-2"):
        with pytest.raises(WeightsMissing, match=f"gives sha256 .*, not {SHA256}: kept as .*thing.pth.refused{number}"):
            make_store(tmp_path, f"{origin}/other").locate("thing")
    assert names(tmp_path) == ["thing.pth.refused", "thing.pth.refused-2"]
    assert (tmp_path / "thing.pth.refused").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(("how", "why"), [("page", "26 bytes there, not 3,072,000"), ("packed", "packed")])
def test_what_cannot_be_the_file_is_not_downloaded(origin: str, tmp_path: Path, how: str, why: str):
    with pytest.raises(WeightsMissing, match=why):
        make_store(tmp_path, f"{origin}/{how}").locate("thing")
    assert (tmp_path / "thing.pth.part").stat().st_size == 0


def test_no_name_comes_from_a_server(origin: str, tmp_path: Path):
    folder = tmp_path / "a" / "b"
    assert make_store(folder, f"{origin}/moved").locate("thing") == folder / "thing.pth"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "thing.pth"]


def test_a_digest_that_nobody_published_is_recorded_and_checked_ever_after(origin: str, tmp_path: Path):
    store = make_store(tmp_path, f"{origin}/plain", sha256="", size_bytes=0)
    assert store.status("thing").record == "none"
    file = store.locate("thing")
    assert (tmp_path / "thing.pth.sha256").read_text() == f"{SHA256}  thing.pth\n"
    assert (store.status("thing").state, store.status("thing").record) == ("ready", "recorded")
    file.write_bytes(CONTENT[:-1])
    assert store.status("thing").state == "damaged"
    file.unlink()
    with pytest.raises(WeightsMissing, match=f"not {SHA256}"):  # also of another download
        make_store(tmp_path, f"{origin}/other", sha256="", size_bytes=0).locate("thing")


def test_without_a_digest_nothing_of_another_call_is_used(origin: str, tmp_path: Path):
    (tmp_path / "thing.pth.part").write_bytes(b"of something else")
    store = make_store(tmp_path, f"{origin}/cut", sha256="", size_bytes=0)
    assert store.locate("thing").read_bytes() == CONTENT
    assert ranges() == [None, f"bytes={CUT_AT}-"]


def test_a_file_that_was_put_there_without_a_digest_is_named(tmp_path: Path):
    (tmp_path / "thing.pth").write_bytes(CONTENT)
    status = make_store(tmp_path, "http://127.0.0.1:9/x", sha256="").status("thing")
    assert (status.state, status.record) == ("ready", "none")


def test_mirrors_are_asked_first_and_their_failures_are_named(origin: str, tmp_path: Path):
    mirrors = (f"{origin}/gone-mirror", f"{origin}/mirror/")
    store = make_store(tmp_path, f"{origin}/plain", path="gone", mirrors=mirrors)
    assert store.locate("thing") == tmp_path / "gone"
    assert [path for path, _ in Origin.requests] == ["/gone-mirror/gone", "/mirror/gone", "/plain"]
    with pytest.raises(WeightsMissing, match=r"/gone-mirror/gone failed \(HTTP 404\); .*/x/gone failed \(HTTP 404\)"):
        make_store(tmp_path / "new", f"{origin}/x/gone", path="gone", mirrors=mirrors).locate("thing")


def test_a_mirror_that_gives_other_bytes_ends_it(origin: str, tmp_path: Path):
    with pytest.raises(WeightsMissing, match=r"/mirror/other gives sha256"):
        make_store(tmp_path, f"{origin}/plain", path="other", mirrors=(f"{origin}/mirror",)).locate("thing")


def test_a_login_of_a_mirror_is_not_quoted(origin: str, tmp_path: Path):
    mirror = origin.replace("://", "://me:password-of-mine@")
    with pytest.raises(WeightsMissing) as caught:
        make_store(tmp_path, f"{origin}/gone", path="gone", mirrors=(mirror,)).locate("thing")
    assert "password-of-mine" not in str(caught.value)


def test_two_processes_download_once(origin: str, tmp_path: Path):
    files = []
    threads = [
        threading.Thread(target=lambda: files.append(make_store(tmp_path, f"{origin}/plain").locate("thing")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files == [tmp_path / "thing.pth"] * 4
    assert len(Origin.requests) == 1
    assert names(tmp_path) == ["thing.pth"]


def test_what_does_not_fit_on_the_disk_is_not_begun(origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    free = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    store = make_store(tmp_path / "new", f"{origin}/plain")
    with pytest.raises(WeightsMissing, match=r"3\.1 MB are needed, and 2\.0 MB are free"):
        store.check_room(["thing"])
    with pytest.raises(WeightsMissing, match=r"3\.1 MB more are needed, and 2\.0 MB are free"):
        store.locate("thing")
    part = tmp_path / "new" / "thing.pth.part"
    part.write_bytes(CONTENT[:2_500_000])
    store.check_room(["thing"])
    assert store.locate("thing").read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_a_full_disk_is_named(origin: str, tmp_path: Path):
    (tmp_path / "thing.pth.part").symlink_to("/dev/full")
    with pytest.raises(WeightsMissing, match=r"cannot be written \(No space left on device\)"):
        make_store(tmp_path, f"{origin}/plain").locate("thing")


PULL = """
import sys
from pathlib import Path
from ris_core.runtime.registry import Weight
from ris_core.runtime.weights import WeightStore
url, folder, sha256 = sys.argv[1:]
weight = Weight("thing", "thing.pth", sha256=sha256, url=url)
WeightStore(Path(folder), offline=False, registry={"thing": weight}).locate("thing")
"""


def pull_elsewhere(url: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.upper().endswith(("_PROXY", "SSL_CERT_FILE"))}
    return subprocess.run(
        [sys.executable, "-c", PULL, url, str(folder), SHA256],
        env={**own, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_authority_of_ones_own_and_a_proxy(tmp_path: Path):
    authority, certificate = make_certificates(tmp_path)
    with serve(certificate) as url, proxy() as (proxy_url, asked):
        refused = pull_elsewhere(f"{url}/plain", tmp_path / "refused")
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
        assert Origin.requests == []
        done = pull_elsewhere(f"{url}/plain", tmp_path / "direct", SSL_CERT_FILE=str(authority))
        assert (done.returncode, asked) == (0, []), done.stderr
        known = {"SSL_CERT_FILE": str(authority), "HTTPS_PROXY": proxy_url}
        done = pull_elsewhere(f"{url}/cut", tmp_path / "through", **known)
        assert done.returncode == 0, done.stderr
        assert asked == [f"CONNECT {url.removeprefix('https://')}"] * 2  # cut, and resumed
        assert Origin.requests[-1] == ("/cut", f"bytes={CUT_AT}-")
        done = pull_elsewhere(f"{url}/plain", tmp_path / "without", **known, NO_PROXY="127.0.0.1")
        assert (done.returncode, len(asked)) == (0, 2), done.stderr
    assert (tmp_path / "through" / "thing.pth").read_bytes() == CONTENT


def test_files_of_a_hub_are_asked_for_by_their_revision():
    weight = REGISTRY["clip-vit-b-16"]
    [source] = downloads.sources(weight)
    assert source.place.endswith(f"/{weight.hub_repo}/resolve/{weight.hub_revision}/open_clip_model.safetensors")


@pytest.mark.parametrize("weight", [w for w in REGISTRY.values() if not w.bundled], ids=lambda weight: weight.name)
def test_what_is_downloaded_says_its_size_licences_and_where_its_digest_is_from(weight: Weight):
    assert all((weight.size_bytes, weight.licence, weight.code_licence, weight.data, weight.sha256_origin))
