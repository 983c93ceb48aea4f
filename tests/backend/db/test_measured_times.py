"""How long encodings took on a machine, as `ris doctor` and `ris models list` read it."""

from pathlib import Path

from backend.db.database import open_database
from backend.db.measured_times import (
    EncodingTime,
    describe_first_expression,
    keep_encoding_time,
    read_encoding_times,
)
from backend.inference.encoding_times import LAST, EncodingTimes


def test_the_last_times_of_each_profile_and_device_are_kept(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ris.sqlite3'}"
    assert read_encoding_times(url) == {}
    assert list(tmp_path.iterdir()) == []
    engine = open_database(url)
    keep_encoding_time(engine, "cpu", "base", 90.0, 1)
    keep_encoding_time(engine, "cpu", "base", 80.04, 9)
    keep_encoding_time(engine, "cuda", "base", 1.5, 1)
    times = read_encoding_times(url)
    assert times == {"base": [EncodingTime("cpu", 80.04, 9), EncodingTime("cuda", 1.5, 1)]}
    assert describe_first_expression(times["base"]) == (
        "80.0 s to encode the image (DEVICE=cpu, the median of 9 images); "
        "1.5 s to encode the image (DEVICE=cuda, one image)"
    )
    assert describe_first_expression([]) == "not measured yet on this machine"


def test_times_are_kept_by_profile_after_the_first_and_when_they_are_steady():
    times, kept = EncodingTimes(), []
    times.keep = lambda profile, median_s, images: kept.append((profile, images))
    for profile in ["base"] * (LAST + 2) + [""] + ["cpu"]:
        with times.encoding("1/7", profile):
            pass
    assert kept == [("base", 1), ("base", LAST), ("cpu", 1)]
