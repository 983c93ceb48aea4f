"""The store of weights: what is there, what it must be, how it gets there."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import huggingface_hub
import pytest

from ris_core.errors import UnknownName, WeightsMissing
from ris_core.runtime.registry import REGISTRY, Weight
from ris_core.runtime.weights import WeightStore
from tests.ris_core.checkpoints import REVISION, write_hub_file

pytestmark = pytest.mark.slow

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REPO = "org/model"


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT: as a plain file, packed if that is welcome, and as a model hub does."""

    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            packed = gzip.compress(CONTENT)
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)
            return
        if self.path == "/missing.pth" or self.path.startswith("/org/gone"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests.clear()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def by_url(url: str, sha256: str = SHA256) -> dict[str, Weight]:
    return {"thing": Weight(name="thing", path="thing.pth", sha256=sha256, url=url, profile="base")}


HUB = {"thing": Weight("thing", "thing/model.bin", sha256=SHA256, hub_repo=REPO, hub_revision=REVISION, profile="base")}


def test_downloads_once_and_reports_progress(server: str, tmp_path: Path):
    store = WeightStore(tmp_path / "new", offline=False, registry=by_url(f"{server}/thing.pth"))
    seen: list[tuple[str, int, int]] = []
    store.pull(["thing"], progress=lambda *report: seen.append(report))
    assert store.locate("thing").read_bytes() == CONTENT
    assert seen[-1] == ("thing", len(CONTENT), len(CONTENT))
    assert Handler.requests == ["/thing.pth"]


def test_a_missing_address_is_a_clear_error(server: str, tmp_path: Path):
    store = WeightStore(tmp_path, offline=False, registry=by_url(f"{server}/missing.pth"))
    with pytest.raises(WeightsMissing, match=r"download from .*/missing\.pth failed \(HTTP 404\)"):
        store.locate("thing")
    assert not (tmp_path / "thing.pth").exists()


def test_missing_file_names_file_folder_and_command(tmp_path: Path):
    store = WeightStore(tmp_path, offline=True, registry=by_url("http://127.0.0.1:9/thing.pth"))
    with pytest.raises(WeightsMissing) as caught:
        store.locate("thing")
    assert caught.value.exit_code == 3
    for part in ("thing.pth", str(tmp_path), "ris models pull base", "HF_HUB_OFFLINE"):
        assert part in str(caught.value)


def test_wrong_bytes_name_both_digests(tmp_path: Path):
    (tmp_path / "thing.pth").write_bytes(b"something else")
    store = WeightStore(tmp_path, offline=True, registry=by_url("http://127.0.0.1:9/thing.pth"))
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(WeightsMissing, match=f"has sha256 {found}, not {SHA256}"):
        store.locate("thing")
    assert store.status("thing").state == "damaged"


def test_file_changed_after_its_verification_is_noticed(tmp_path: Path):
    file = tmp_path / "thing.pth"
    file.write_bytes(CONTENT)
    store = WeightStore(tmp_path, offline=True, registry=by_url("http://127.0.0.1:9/thing.pth"))
    assert store.locate("thing") == file
    file.write_bytes(CONTENT + b"!")
    with pytest.raises(WeightsMissing, match="delete it"):
        store.locate("thing")


def test_verified_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "thing.pth").write_bytes(CONTENT)
    store = WeightStore(tmp_path, offline=True, registry=by_url("http://127.0.0.1:9/thing.pth"))
    store.locate("thing")
    monkeypatch.setattr("ris_core.runtime.weights._sha256", lambda path: pytest.fail(f"{path} was read again"))
    assert store.locate("thing") == tmp_path / "thing.pth"


@pytest.mark.parametrize("below", ["hub", ""])
def test_mounted_hub_folder_is_found_offline(tmp_path: Path, below: str):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    snapshot = write_hub_file(tmp_path / below, REPO, tmp_path / "model.bin")
    assert WeightStore(tmp_path, offline=True, registry=HUB).locate("thing") == snapshot


def test_mounted_plain_file_of_a_hub_is_found_offline(tmp_path: Path):
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "model.bin").write_bytes(CONTENT)
    assert WeightStore(tmp_path, offline=True, registry=HUB).locate("thing") == tmp_path / "thing" / "model.bin"


def test_downloads_from_the_hub_that_is_set(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server)  # HF_ENDPOINT, which is read at import
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", server + "/{repo_id}/resolve/{revision}/{filename}"
    )
    [path] = WeightStore(tmp_path, offline=False, registry=HUB).pull(["thing"])
    assert path == tmp_path / "thing" / "model.bin"
    assert path.read_bytes() == CONTENT
    assert Handler.requests == [f"/{REPO}/resolve/{REVISION}/model.bin"]
    gone = replace(HUB["thing"], hub_repo="org/gone")
    with pytest.raises(WeightsMissing, match=r"org/gone/.* failed \(HTTP 404\)"):
        WeightStore(tmp_path / "new", offline=False, registry={"thing": gone}).locate("thing")


def test_folder_that_lacks_a_file_is_missing(tmp_path: Path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    weight = Weight("half", str(tmp_path / "half"), contains=("config.json", "model.safetensors"))
    store = WeightStore(tmp_path, offline=True, registry={"half": weight})
    with pytest.raises(WeightsMissing, match=r"model\.safetensors is missing.*make demo-train"):
        store.locate("half")
    assert store.status("half").state == "missing"


def test_digest_of_a_folder_covers_names_and_contents(tmp_path: Path):
    digests = set()
    for name, content in (("a", "x"), ("b", "x"), ("a", "y")):
        folder = tmp_path / f"{name}{content}"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / name).write_text(content)
        digests.add(WeightStore(registry={"it": Weight("it", str(folder))}).digest("it"))
    assert len(digests) == 3


def test_unknown_weights_name_those_there_are():
    with pytest.raises(UnknownName, match="sam-vit-b"):
        WeightStore().locate("sam-vit-x")


@pytest.mark.parametrize("weight", [w for w in REGISTRY.values() if not w.bundled], ids=lambda weight: weight.name)
def test_downloaded_weights_have_a_digest_and_a_fixed_source(weight: Weight):
    assert len(bytes.fromhex(weight.sha256)) == 32
    assert weight.url.startswith("https://") or len(bytes.fromhex(weight.hub_revision)) == 20


def test_weights_of_ones_own_are_named_by_their_path(tmp_path: Path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.bin").write_bytes(b"abc")
    store, name = WeightStore(tmp_path / "store", offline=True), str(tmp_path / "own")
    assert store.locate(name) == tmp_path / "own"
    digest = store.digest(name)
    assert store.status(name).state == "ready"
    (tmp_path / "own" / "model.bin").write_bytes(b"abcd")
    assert store.digest(name) != digest
    with pytest.raises(UnknownName, match=r"or the absolute path of a file or folder that is here\."):
        store.locate(str(tmp_path / "none"))
    with pytest.raises(UnknownName):
        store.locate("own")
