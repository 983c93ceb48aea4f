import multiprocessing
import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from safetensors.numpy import save_file
from structlog.testing import capture_logs

from backend.inference.cache_files import SHARE_KEPT, SUFFIX, UNFINISHED_KEPT_S, CacheFiles
from backend.inference.cache_layout import compact, size_bytes
from backend.inference.feature_cache import FeatureCache
from demo.scenes import make_scene
from ris_core.errors import BadInput
from ris_core.geometry.run_length_masks import RunLengthMasks
from ris_core.profiles import load_segmenter
from ris_core.types import EncodedImage, Image, Proposals
from ris_core.types.prompts import PromptEmbedding

SHA = "ab" * 32


def an_image(
    sha256: str = SHA, encode_fp: str = "fp", seed: int = 0, count: int = 3, size_hw: tuple[int, int] = (5, 9)
) -> EncodedImage:
    rng = np.random.default_rng(seed)
    masks = rng.random((count, *size_hw)) > 0.5
    return EncodedImage(
        image_sha256=sha256,
        size_hw=size_hw,
        proposals=Proposals(masks, *(rng.random(shape).astype(np.float32) for shape in ((count, 4), count, count))),
        features={
            "global": rng.random((count, 4)).astype(np.float32),
            "masks": rng.random((count, 2, 2)).astype(np.float16),
        },
        encode_fp=encode_fp,
    )


def an_embedding(sha256: str = SHA, embed_fp: str = "fp", seed: int = 0) -> PromptEmbedding:
    array = np.random.default_rng(seed).random((4, 3, 2)).astype(np.float16)
    return PromptEmbedding(sha256, (5, 9), {"array": array}, embed_fp)


def assert_embeddings_equal(one: PromptEmbedding, two: PromptEmbedding) -> None:
    assert (one.image_sha256, one.size_hw, one.embed_fp) == (two.image_sha256, two.size_hw, two.embed_fp)
    assert set(one.arrays) == set(two.arrays)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, two.arrays[name], strict=True)


def assert_equal(one: EncodedImage, two: EncodedImage) -> None:
    assert (one.image_sha256, one.size_hw, one.encode_fp) == (two.image_sha256, two.size_hw, two.encode_fp)
    for name in ("masks", "boxes_xywh", "predicted_iou", "stability"):
        np.testing.assert_array_equal(
            np.asarray(getattr(one.proposals, name)), np.asarray(getattr(two.proposals, name)), strict=True
        )
    assert one.features.keys() == two.features.keys()
    for name, array in one.features.items():
        np.testing.assert_array_equal(array, two.features[name], strict=True)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features", 1 << 20)


@st.composite
def encoded_images(draw):
    count, height, width = draw(st.integers(0, 4)), draw(st.integers(1, 20)), draw(st.integers(1, 20))
    shapes = st.lists(st.integers(1, 4), min_size=0, max_size=2)
    names = draw(st.sets(st.text("abcmasks_.", min_size=1, max_size=6), max_size=3))
    features = {
        name: draw(arrays.arrays(np.float32, (count, *draw(shapes)), elements=st.floats(width=32))) for name in names
    }
    quality = [
        draw(arrays.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
        for shape in ((count, 4), count, count)
    ]
    masks = draw(arrays.arrays(bool, (count, height, width)))
    return EncodedImage(SHA, (height, width), Proposals(masks, *quality), features, "fp")


@given(encoded=encoded_images())
@settings(max_examples=60, deadline=None)
def test_what_is_put_in_comes_out(tmp_path_factory, encoded):
    cache = FeatureCache(tmp_path_factory.getbasetemp() / "round-trip", 1 << 30)
    cache.put(encoded)
    assert_equal(cache.get("fp", SHA), encoded)


def test_transposed_features_come_out_as_they_were(cache):
    encoded = an_image()
    turned = EncodedImage(
        SHA, encoded.size_hw, encoded.proposals, {"x": np.arange(12, dtype=np.float32).reshape(4, 3).T}, "fp"
    )
    cache.put(turned)
    assert_equal(cache.get("fp", SHA), turned)


def test_image_is_kept_by_encoder_and_digest(cache):
    cache.put(an_image())
    assert cache.get("other", SHA) is None
    assert cache.get("fp", "cd" * 32) is None
    cache.put(an_image(encode_fp="other", seed=1))
    assert_equal(cache.get("fp", SHA), an_image())
    assert_equal(cache.get("other", SHA), an_image(encode_fp="other", seed=1))


@pytest.mark.slow
def test_encodings_of_before_a_setting_lie_beside_those_of_after_it(tmp_path):
    """As after an upgrade of a folder whose profile filters masks in another way now."""
    cache, image = FeatureCache(tmp_path, 1 << 24), Image.from_array(make_scene(3).image)
    ways = [{"points_per_side": 4, "filter_logits": choice} for choice in (False, True)]
    before, after = (load_segmenter("demo", proposer=way) for way in ways)
    first = compact(before.encode(image))
    cache.put(first)
    assert cache.get(after.encode_fp, image.sha256) is None
    second = compact(after.encode(image))
    cache.put(second)
    reopened = FeatureCache(tmp_path, 1 << 24)
    assert_equal(reopened.get(before.encode_fp, image.sha256), first)
    assert_equal(reopened.get(after.encode_fp, image.sha256), second)
    assert before.model_version != after.model_version
    assert before.proposer.embed_fp == after.proposer.embed_fp


def test_later_put_replaces(cache):
    cache.put(an_image(seed=0))
    cache.put(an_image(seed=1))
    assert_equal(cache.get("fp", SHA), an_image(seed=1))


def test_what_clicks_are_answered_from_is_kept_apart_from_the_encoded_image(cache):
    assert cache.get_embedding("fp", SHA) is None
    cache.put(an_image())
    assert cache.get_embedding("fp", SHA) is None
    cache.put_embedding(an_embedding())
    assert_embeddings_equal(cache.get_embedding("fp", SHA), an_embedding())
    assert_equal(cache.get("fp", SHA), an_image())
    assert cache.get_embedding("other", SHA) is None
    assert cache.get_embedding("fp", "cd" * 32) is None


def test_transposed_embedding_comes_out_as_it_was(cache):
    turned = PromptEmbedding(SHA, (5, 9), {"array": an_embedding().arrays["array"].T}, "fp")
    cache.put_embedding(turned)
    assert_embeddings_equal(cache.get_embedding("fp", SHA), turned)


DAMAGE = {
    "cut short": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "other bytes": lambda data: b"x" * len(data),
    "other format": lambda data: data.replace(b'"format":"2"', b'"format":"0"'),
    "other size": lambda data: data.replace(b'"[5, 9]"', b'"[6, 9]"'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_a_miss_and_goes(tmp_path, cache, damage):
    cache.put(an_image())
    file = next((tmp_path / "features").rglob(f"*{SUFFIX}"))
    before = file.read_bytes()
    assert damage(before) != before
    file.write_bytes(damage(before))
    with capture_logs() as logs:
        assert cache.get("fp", SHA) is None
    assert not file.exists()
    assert str(file) in logs[0]["file"]
    cache.put(an_image())
    assert_equal(cache.get("fp", SHA), an_image())


EMBEDDING_DAMAGE = {name: DAMAGE[name] for name in ("cut short", "empty", "other bytes", "other format")} | {
    "no array": lambda data: data.replace(b'"array"', b'"arrax"'),
    "other numbers": lambda data: data.replace(b'"F16"', b'"I16"'),
}


@pytest.mark.parametrize("damage", EMBEDDING_DAMAGE.values(), ids=EMBEDDING_DAMAGE)
def test_damaged_embedding_is_a_miss_and_goes(tmp_path, cache, damage):
    cache.put_embedding(an_embedding())
    [file] = (tmp_path / "features").rglob(f"*{SUFFIX}")
    before = file.read_bytes()
    assert damage(before) != before
    file.write_bytes(damage(before))
    with capture_logs() as logs:
        assert cache.get_embedding("fp", SHA) is None
    assert not file.exists()
    assert str(file) in logs[0]["file"]


def test_what_clicks_are_answered_from_has_room_of_its_own(tmp_path):
    FeatureCache(tmp_path, 1 << 20, 1 << 20).put_embedding(an_embedding())
    cache = FeatureCache(tmp_path, 1 << 20, FeatureCache(tmp_path, 0).click_bytes())
    cache.put(an_image())
    cache.put_embedding(an_embedding("cd" * 32))
    assert cache.get("fp", SHA) is not None
    assert [cache.get_embedding("fp", sha256) is not None for sha256 in (SHA, "cd" * 32)] == [False, True]


def test_least_recently_used_goes_first(tmp_path):
    digests = [f"{i:02d}" * 32 for i in range(21)]
    folder = tmp_path / "features"
    FeatureCache(folder, 1 << 20).put(an_image(digests[0]))
    one_file = FeatureCache(folder, 0).size_bytes()
    cache = FeatureCache(folder, 20 * one_file)
    for i, digest in enumerate(digests[:20]):
        cache.put(an_image(digest))
        file = file_of(folder, digest)
        os.utime(file, (1000 + i, 1000 + i))
    assert cache.get("fp", digests[0]) is not None  # used now
    cache.put(an_image(digests[20]))
    assert [i for i, digest in enumerate(digests) if cache.get("fp", digest) is None] == [1, 2]
    assert cache.size_bytes() == SHARE_KEPT * 20 * one_file


def test_last_file_stays_if_it_just_fits(tmp_path):
    FeatureCache(tmp_path, 1 << 20).put(an_image())
    cache = FeatureCache(tmp_path, FeatureCache(tmp_path, 0).size_bytes())
    cache.put(an_image("cd" * 32))
    assert [cache.get("fp", sha256) is not None for sha256 in (SHA, "cd" * 32)] == [False, True]


@pytest.fixture
def looks(monkeypatch):
    """How often all files were looked at, one entry each."""
    seen, entries = [], CacheFiles._entries
    monkeypatch.setattr(CacheFiles, "_entries", lambda self, *of: seen.append(1) or entries(self, *of))
    return seen


def test_all_files_are_looked_at_once_in_a_process_as_long_as_there_is_room(tmp_path, looks):
    cache = FeatureCache(tmp_path, 1 << 20)
    for i in range(20):
        cache.put(an_image(f"{i % 10:02d}" * 32))  # half of them replace
    assert len(looks) == 1
    assert int((tmp_path / "v2" / "images" / "size").read_text()) == cache.size_bytes()


def test_full_cache_is_looked_at_once_in_many_puts(tmp_path, looks):
    FeatureCache(tmp_path, 1 << 20).put(an_image())
    limit = 40 * FeatureCache(tmp_path, 0).size_bytes()
    looks.clear()
    cache = FeatureCache(tmp_path, limit)
    for i in range(100):
        cache.put(an_image(f"{i:02d}" * 32))
    assert len(looks) <= 1 + 60 / 2
    assert cache.size_bytes() <= limit


@pytest.mark.parametrize("found", ["", "many", "-5"])
def test_size_that_cannot_be_read_is_counted_again(tmp_path, cache, found):
    cache.put(an_image())
    size = tmp_path / "features" / "v2" / "images" / "size"
    size.write_text(found)
    cache.put(an_image("cd" * 32))
    assert int(size.read_text()) == cache.size_bytes()


def test_room_that_another_process_took_counts(tmp_path):
    one, two = (FeatureCache(tmp_path, 10_000) for _ in range(2))
    for i in range(50):
        (one, two)[i % 2].put(an_image(f"{i:02d}" * 32))
    assert one.size_bytes() <= 10_000


def test_no_room_at_all_keeps_nothing(tmp_path):
    cache = FeatureCache(tmp_path, 0)
    cache.put(an_image())
    assert cache.get("fp", SHA) is None
    assert cache.size_bytes() == 0


def test_left_overs_of_dead_writers_go(tmp_path, cache):
    cache.put(an_image())
    folder = next((tmp_path / "features").rglob(f"*{SUFFIX}")).parent
    old, new = folder / f".{'0' * 32}.part", folder / f".{'1' * 32}.part"
    for file in (old, new):
        file.write_bytes(b"half")
    long_ago = time.time() - UNFINISHED_KEPT_S - 1
    os.utime(old, (long_ago, long_ago))
    FeatureCache(tmp_path / "features", 1 << 20).put(an_image(seed=1))
    assert not old.exists()
    assert new.exists()


def test_folder_that_cannot_be_written_costs_only_the_entry(tmp_path):
    (tmp_path / "features").write_text("a file")
    with capture_logs() as logs:
        FeatureCache(tmp_path / "features", 1 << 20).put(an_image())
    assert "cannot be kept" in logs[0]["event"]


def _put_and_get(folder, seed: int, rounds: int) -> None:
    cache = FeatureCache(folder, 20_000)  # room for some only: there is eviction all the time
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        i = int(rng.integers(20))
        cache.put(an_image(f"{i:02d}" * 32, seed=i))
        j = int(rng.integers(20))
        found = cache.get("fp", f"{j:02d}" * 32)
        if found:
            assert_equal(found, an_image(f"{j:02d}" * 32, seed=j))


def test_processes_share_a_folder(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_put_and_get, args=(tmp_path, seed, 60)) for seed in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert FeatureCache(tmp_path, 0).size_bytes() <= 20_000


# Whose file it is

OTHER = "cd" * 32


def file_of(folder, sha256=SHA, made_by="images/fp"):
    return folder / "v2" / made_by / sha256[:2] / f"{sha256}{SUFFIX}"


def rewrite(file, **about):
    """The same arrays, with other words about them; without a checksum if `sha256` is None."""
    with safe_open(file, framework="np") as opened:
        told = {**opened.metadata(), **about}
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    save_file(arrays, file, {name: value for name, value in told.items() if value is not None})


@pytest.mark.parametrize(
    ("kind", "get", "put", "made"),
    [
        ("images/fp", FeatureCache.get, FeatureCache.put, an_image),
        ("clicks/fp", FeatureCache.get_embedding, FeatureCache.put_embedding, an_embedding),
    ],
    ids=["image", "embedding"],
)
@pytest.mark.parametrize("source", ["another image", "another encoder"])
def test_file_of_something_else_is_a_miss_and_stays_until_it_is_replaced(tmp_path, kind, get, put, made, source):
    folder = tmp_path / "features"
    cache = FeatureCache(folder, 1 << 20)
    is_image = source == "another image"
    put(cache, made(OTHER) if is_image else made(SHA, "other"))
    there = file_of(folder, OTHER, kind) if is_image else file_of(folder, SHA, kind.replace("fp", "other"))
    here = file_of(folder, SHA, kind)
    here.parent.mkdir(parents=True, exist_ok=True)
    here.write_bytes(there.read_bytes())
    with capture_logs() as logs:
        assert get(cache, "fp", SHA) is None
    assert "something else" in logs[0]["event"]
    assert here.read_bytes() == there.read_bytes()
    put(cache, made(seed=3))
    assert get(cache, "fp", SHA) is not None


def test_every_flipped_bit_is_noticed(tmp_path, cache):
    cache.put(an_image())
    file = file_of(tmp_path / "features")
    whole = file.read_bytes()
    begins = 8 + int.from_bytes(whole[:8], "little")
    for at in range(begins, len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert cache.get("fp", SHA) is None, at
    file.write_bytes(whole)
    assert_equal(cache.get("fp", SHA), an_image())


def test_sizes_that_were_changed_are_noticed(tmp_path, cache):
    cache.put_embedding(an_embedding())
    rewrite(file_of(tmp_path / "features", made_by="clicks/fp"), size_hw="[5, 8]")
    assert cache.get_embedding("fp", SHA) is None


def put_as_before(folder, encoded, embedding, **more):
    """Write files as versions before 0.3 did; the first ones had no checksum."""
    proposals = encoded.proposals
    arrays = {
        "masks": np.packbits(proposals.masks, axis=-1),
        **{name: getattr(proposals, name) for name in ("boxes_xywh", "predicted_iou", "stability")},
        **{f"feature.{name}": array for name, array in encoded.features.items()},
    }
    about = {"image_sha256": SHA, "size_hw": str(list(encoded.size_hw)), "format": "1", **more}
    for made_by, content, name in (
        (encoded.encode_fp, arrays, "encode_fp"),
        (f"prompt-{embedding.embed_fp}", embedding.arrays, "embed_fp"),
    ):
        file = folder / made_by / SHA[:2] / f"{SHA}{SUFFIX}"
        file.parent.mkdir(parents=True)
        save_file(content, file, {**about, name: "fp"})


def test_files_of_a_former_version_are_written_anew_and_left(tmp_path):
    put_as_before(tmp_path, an_image(), an_embedding())
    before = {file: file.read_bytes() for file in tmp_path.rglob(f"*{SUFFIX}")}
    cache = FeatureCache(tmp_path, 1 << 20)
    assert (cache.size_bytes(), cache.former_bytes()) == (0, sum(map(len, before.values())))
    with capture_logs() as logs:
        assert_equal(cache.get("fp", SHA), an_image())
        assert_embeddings_equal(cache.get_embedding("fp", SHA), an_embedding())
    assert logs == []
    assert {file: file.read_bytes() for file in before} == before
    for file in before:
        file.unlink()
    assert_equal(cache.get("fp", SHA), an_image())
    assert_embeddings_equal(cache.get_embedding("fp", SHA), an_embedding())


def test_damaged_files_of_a_former_version_are_a_miss_and_left(tmp_path):
    put_as_before(tmp_path, an_image(), an_embedding(), sha256="0" * 64)
    cache = FeatureCache(tmp_path, 1 << 20)
    assert cache.get("fp", SHA) is None
    assert cache.get_embedding("fp", SHA) is None
    assert len(list(tmp_path.rglob(f"*{SUFFIX}"))) == 2


def test_eviction_takes_no_files_of_a_former_version(tmp_path):
    put_as_before(tmp_path, an_image(), an_embedding())
    cache = FeatureCache(tmp_path, 1)
    for i in range(5):
        cache.put(an_image(f"{i:02d}" * 32))
    assert cache.size_bytes() == 0
    assert cache.former_bytes() > 0


# In memory


@pytest.fixture
def opened(monkeypatch):
    """Files that are opened, one entry each."""
    names, read = [], CacheFiles.read
    monkeypatch.setattr(CacheFiles, "read", lambda self, *about: names.append(about[1]) or read(self, *about))
    return names


def test_what_was_used_last_is_read_from_no_file(tmp_path, opened):
    cache = FeatureCache(tmp_path, 1 << 20, open_bytes=1 << 20)
    cache.put(an_image())
    for _ in range(3):
        assert_equal(cache.get("fp", SHA), an_image())
    assert opened == []
    another = FeatureCache(tmp_path, 1 << 20, open_bytes=1 << 20)
    for _ in range(3):
        assert_equal(another.get("fp", SHA), an_image())
    assert opened == [SHA]


def test_memory_is_bounded_and_the_least_recently_used_goes(tmp_path, opened):
    digests = [f"{i:02d}" * 32 for i in range(6)]
    one = size_bytes(compact(an_image()))
    cache = FeatureCache(tmp_path, 1 << 20, open_bytes=3 * one)
    for digest in digests[:3]:
        cache.put(an_image(digest))
    assert cache.get("fp", digests[0]) is not None
    cache.put(an_image(digests[3]))
    for digest in (digests[0], digests[2], digests[3]):
        cache.get("fp", digest)
    assert opened == []
    cache.get("fp", digests[1])
    assert opened == [digests[1]]


@pytest.mark.parametrize("size_hw", [(480, 640), (3000, 4000)])
def test_a_hundred_masks_need_little_room_at_any_size(tmp_path, size_hw):
    """Shapes as photographs have them: ragged ellipses of all sizes."""
    rng = np.random.default_rng(0)
    counts: list[bytes] = []
    for _ in range(100):
        counts += RunLengthMasks.encode(a_ragged_ellipse(rng, size_hw)[None]).counts
    masks = RunLengthMasks(counts, size_hw)
    quality = (np.zeros(shape, np.float32) for shape in ((100, 4), 100, 100))
    features = {"global": rng.random((100, 512)).astype(np.float32)}
    cache = FeatureCache(tmp_path, 1 << 30)
    cache.put(EncodedImage(SHA, size_hw, Proposals(masks, *quality), features, "fp"))
    assert cache.size_bytes() - features["global"].nbytes <= 64 << 10
    kept = cache.get("fp", SHA)
    assert kept.proposals.masks.counts == masks.counts


def a_ragged_ellipse(rng, size_hw):
    height, width = size_hw
    row, column, radius = rng.uniform(0.1, 0.9) * height, rng.uniform(0.1, 0.9) * width, rng.uniform(0.03, 0.4) * height
    top, left = max(0, int(row - 1.5 * radius)), max(0, int(column - 1.5 * radius))
    bottom, right = min(height, int(row + 1.5 * radius)), min(width, int(column + 1.5 * radius))
    rows, columns = np.ogrid[top:bottom, left:right]
    angles = np.linspace(0, 2 * np.pi, 512)
    waves = sum(rng.normal() * 0.1 / f * np.cos(f * angles + rng.uniform(0, 6)) for f in range(1, 16))
    around = np.arctan2(rows - row, columns - column) + np.pi
    mask = np.zeros(size_hw, bool)
    mask[top:bottom, left:right] = np.hypot(rows - row, columns - column) < radius * (
        1 + np.interp(around, angles, waves)
    )
    return mask


@pytest.mark.parametrize("metadata", [{"size_hw": "5"}, {"size_hw": "[5]"}, {"size_hw": "x"}, {"size_hw": None}])
def test_words_that_make_no_sense_are_a_miss(tmp_path, cache, metadata):
    cache.put(an_image())
    rewrite(file_of(tmp_path / "features"), **metadata)
    assert cache.get("fp", SHA) is None


def test_file_without_a_checksum_is_a_miss(tmp_path, cache):
    cache.put(an_image())
    rewrite(file_of(tmp_path / "features"), sha256=None)
    assert cache.get("fp", SHA) is None


@pytest.mark.parametrize("place", ["the file", "its folder", "the encoder's folder", "all", "size"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_something_else_in_a_place_costs_only_the_entry(tmp_path, place, kind):
    folder = tmp_path / "features"
    file = file_of(folder)
    at = {"the file": file, "its folder": file.parent, "the encoder's folder": file.parents[1], "all": folder}
    taken = at.get(place, folder / "v2" / "images" / "size")
    taken.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        taken.mkdir()
        (taken / "mine").write_text("mine")
    else:
        taken.write_text("mine")
    cache = FeatureCache(folder, 10_000)
    assert cache.get("fp", SHA) is None
    cache.put(an_image())
    for number in range(20):  # through eviction
        cache.put(an_image(f"{number:02d}" * 32))
        cache.get("fp", f"{number:02d}" * 32)
    cache.get("fp", SHA)
    if kind == "folder":
        assert (taken / "mine").read_text() == "mine"


def test_what_others_keep_in_the_folder_stays(tmp_path):
    folder = tmp_path / "features"
    others = [
        "models/bert/model.safetensors",
        f"fp/ab/{'ef' * 32}{SUFFIX}",  # not in the folder of its first two
        f"fp/ab/{'xy' * 32}{SUFFIX}",
        "fp/ab/notes.txt",
        "fp/ab/download.part",
        "work/x/.draft.part",
        "fp/ab/.draft.part",
        f"{SHA}{SUFFIX}",
    ]
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine" * 10_000)
        os.utime(folder / name, (1000, 1000))
    cache = FeatureCache(folder, 10_000)
    for number in range(30):
        cache.put(an_image(f"{number:02d}" * 32))
    assert all((folder / name).exists() for name in others)
    assert cache.size_bytes() <= 10_000
    assert cache.get("fp", "29" * 32) is not None


def test_a_link_is_not_followed_by_eviction(tmp_path):
    folder = tmp_path / "features"
    target = tmp_path / "mine"
    FeatureCache(tmp_path / "elsewhere", 1 << 20).put(an_image())
    target.write_bytes(file_of(tmp_path / "elsewhere").read_bytes())
    link = file_of(folder)
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    cache = FeatureCache(folder, 1)
    cache.put(an_image(OTHER))
    assert target.exists()


def test_folder_that_may_only_be_read_is_read(tmp_path, cache, monkeypatch):
    cache.put(an_image())

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", refuse)
    assert_equal(cache.get("fp", SHA), an_image())
    assert file_of(tmp_path / "features").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", "x\0"])
def test_names_that_leave_the_folder_are_refused(cache, name):
    with pytest.raises(BadInput):
        cache.get(name, SHA)
    with pytest.raises(BadInput):
        cache.get("fp", name)
