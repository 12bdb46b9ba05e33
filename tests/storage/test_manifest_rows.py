"""Every kind of bad row beside good ones, in every format."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.request import MAX_SEED, PromptEvent, VideoSpec
from storage.manifest import REPEATED, ManifestRow
from storage.row import MAX_PROMPT_LENGTH, read_row
from tests.storage.manifests import FORMATS, TYPES, Row, read, write

if TYPE_CHECKING:
    from pathlib import Path

GOOD: Row = {"id": "good", "prompt": "a cat"}
NAN = float("nan")
ZERO = {"start_s": 0.0, "prompt": "one"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_row(tmp_path: Path, suffix: str) -> None:
    deadline: object = "2030-01-31T07:00:00+01:00"
    if suffix == "parquet":
        deadline = datetime(2030, 1, 31, 6, tzinfo=UTC)
    row: Row = {
        "id": "cat-1",
        "prompt": 'a cat, "quoted",\nin two lines',
        "events": [ZERO, {"start_s": 2.5, "prompt": "it sleeps"}],
        "negative_prompt": "blurred",
        "seed": MAX_SEED,
        "duration_s": 12.5,
        "width": 96,
        "height": 64,
        "fps": 16,
        "num_inference_steps": 20,
        "guidance_scale": 5.5,
        "image": "s3://bucket/cat.png",
        "priority": -3,
        "deadline": deadline,
        "metadata": {"who": "me", "why": "äöü"},
    }
    good, bad = read(write(tmp_path / f"m.{suffix}", [row]))
    assert not bad
    assert good["cat-1"] == ManifestRow(
        row=1,
        file=f"m.{suffix}",
        spec=VideoSpec(
            id="cat-1",
            prompt='a cat, "quoted",\nin two lines',
            events=(PromptEvent(0.0, "one"), PromptEvent(2.5, "it sleeps")),
            negative_prompt="blurred",
            seed=MAX_SEED,
            duration_s=12.5,
            width=96,
            height=64,
            fps=16.0,
            num_inference_steps=20,
            guidance_scale=5.5,
            image="s3://bucket/cat.png",
            priority=-3,
            deadline="2030-01-31T06:00:00+00:00",
            metadata={"who": "me", "why": "äöü"},
        ),
    )


# What is wrong, in which column, words of the reason; each beside good rows, in every format.
BAD: list[tuple[Row, str, str]] = [
    ({"id": None}, "id", "missing"),
    ({"id": ".."}, "id", "letter or digit first"),
    ({"id": "../x"}, "id", "expected 1 to 128"),
    ({"id": "a/b"}, "id", "expected 1 to 128"),
    ({"id": "a b"}, "id", "expected 1 to 128"),
    ({"id": "a" * 129}, "id", "expected 1 to 128"),
    ({"prompt": None}, "prompt", "a prompt or events are required"),
    ({"prompt": "   "}, "prompt", "a prompt or events are required"),
    ({"prompt": "x" * (MAX_PROMPT_LENGTH + 1)}, "prompt", "10001 characters long"),
    ({"prompt": "a\x07b"}, "prompt", "control character"),
    ({"negative_prompt": "a\x00b"}, "negative_prompt", "control character"),
    ({"seed": -1}, "seed", "expected 0 to"),
    ({"duration_s": 0.0}, "duration_s", "more than 0"),
    ({"duration_s": -3.0}, "duration_s", "more than 0"),
    ({"duration_s": 86_401.0}, "duration_s", "at most 86400"),
    ({"num_frames": 0}, "num_frames", "expected 1 to"),
    ({"duration_s": 3.0, "num_frames": 48}, "duration_s", "not both"),
    ({"width": 0}, "width", "expected 1 to"),
    ({"height": 99_999}, "height", "expected 1 to"),
    ({"fps": 0.0}, "fps", "more than 0"),
    ({"num_inference_steps": 0}, "num_inference_steps", "expected 1 to"),
    ({"guidance_scale": -1.0}, "guidance_scale", "at least 0"),
    ({"image": " "}, "image", "blank"),
    ({"priority": 10**7}, "priority", "expected -1000000 to"),
    ({"events": [{"start_s": -1.0, "prompt": "x"}]}, "events", "event 1: expected at least 0"),
    ({"events": [ZERO, {"start_s": 0.0, "prompt": "x"}]}, "events", "rising start times"),
    ({"events": [{"start_s": 2.0, "prompt": "x"}, ZERO]}, "events", "rising start times"),
    ({"events": [{"start_s": 0.0, "prompt": " "}]}, "events", "event 1: blank"),
    ({"events": [{"start_s": None, "prompt": "x"}]}, "events", "event 1: expected a number"),
    ({"prompt": None, "events": []}, "prompt", "a prompt or events are required"),
    ({"prompt": None, "events": [{"start_s": 1.0, "prompt": "x"}]}, "events", "must start at 0"),
    (
        {"events": [{"start_s": 5.0, "prompt": "x"}], "duration_s": 5.0},
        "events",
        "starts at 5 s, the video ends at 5 s",
    ),
    (
        {"events": [{"start_s": 5.0, "prompt": "x"}], "num_frames": 32, "fps": 16.0},
        "events",
        "ends at 2 s",
    ),
    ({"metadata": {"k": "v" * 2001}}, "metadata", "2001 characters"),
    ({"metadata": {str(n): "v" for n in range(65)}}, "metadata", "65 entries"),
    ({"width": 0, "fps": 0.0, "seed": -1}, "seed", "also wrong: width, fps"),
]


@pytest.mark.parametrize("suffix", FORMATS)
def test_bad_rows_beside_good_ones(tmp_path: Path, suffix: str) -> None:
    rows: list[Row] = []
    for number, (change, _, _) in enumerate(BAD):
        rows += [{**GOOD, "id": f"bad-{number}", **change}, {**GOOD, "id": f"good-{number}"}]
    good, bad = read(write(tmp_path / f"m.{suffix}", rows))
    assert list(good) == [f"good-{number}" for number in range(len(BAD))]
    assert len(bad) == len(BAD)
    for number, (rejected, (_, column, words)) in enumerate(zip(bad, BAD, strict=True)):
        assert (rejected.row, rejected.file) == (2 * number + 1, f"m.{suffix}")
        assert rejected.column == column, rejected
        assert words in rejected.reason, rejected
        assert len(str(rejected)) < 600


# What only a format without column types can get wrong; value as JSON has it.
UNTYPED: list[tuple[str, Any, str]] = [
    ("id", 1.5, "expected text, got a number"),
    ("id", True, "expected text, got true/false"),
    ("prompt", 7, "expected text, got a whole number"),
    ("prompt", "\ud800", "not valid UTF-8"),
    ("seed", "42", "expected a whole number, got text"),
    ("seed", 1.5, "expected a whole number"),
    ("seed", 1e300, "too large for a float"),
    ("seed", 10**30, "expected 0 to"),
    ("seed", True, "got true/false"),
    ("duration_s", math.nan, "not finite"),
    ("duration_s", math.inf, "not finite"),
    ("duration_s", [3], "expected a number, got a list"),
    ("fps", {"n": 24}, "expected a number, got an object"),
    ("events", "now", "expected a list of {start_s, prompt}, got text"),
    ("events", ["x"], "event 1: expected start_s and prompt, got text"),
    ("events", [{"start": 0, "prompt": "x"}], "got ['prompt', 'start']"),
    ("deadline", 1893456000, "expected a timestamp or ISO 8601 text, got a whole number"),
    ("deadline", "tomorrow", "expected ISO 8601"),
    ("deadline", "9999-12-31T23:59:59-10:00", "expected ISO 8601"),
    ("metadata", "text", "expected a map of text to text, got text"),
    ("metadata", ["a"], "expected a map"),
    ("metadata", {"a": {"b": "c"}}, "expected text, got an object"),
    ("metadata", {"a": "\x1b[31m"}, "control character"),
    ("promt", "a dog", "unknown column; did you mean 'prompt'?"),
    ("duration", 3, "unknown column; did you mean 'duration_s'?"),
    ("camera", "pan", "unknown column; columns of your own begin with 'x_'"),
]


@pytest.mark.parametrize(("column", "value", "words"), UNTYPED)
def test_wrong_types_are_named(column: str, value: object, words: str) -> None:
    with pytest.raises(RequestError, match=column) as caught:
        read_row({**GOOD, column: value})
    assert caught.value.column == column
    assert words in caught.value.reason


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("id", 17, "17"),
        ("seed", 7.0, 7),
        ("fps", 24, 24.0),
        ("deadline", "2030-01-31T06:00:00Z", "2030-01-31T06:00:00+00:00"),
        ("deadline", "2030-01-31", "2030-01-31T00:00:00+00:00"),
        ("metadata", {"a": 1, "b": True, "c": 0.5, "d": None}, {"a": "1", "b": "true", "c": "0.5"}),
        ("metadata", [("a", "b")], {"a": "b"}),
        ("metadata", [{"key": "a", "value": "b"}], {"a": "b"}),
        ("negative_prompt", "", ""),
        ("events", [], ()),
    ],
)
def test_other_ways_to_say_it(column: str, value: object, expected: object) -> None:
    assert getattr(read_row({**GOOD, column: value, "x_mine": 1}), column) == expected


def test_a_blank_prompt_with_events_is_none() -> None:
    assert read_row({"id": "a", "prompt": "", "events": [ZERO]}).prompt is None


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_row_with_a_repeated_id_is_quarantined(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"id": "twice", "prompt": "one"},
        GOOD,
        {"id": "twice", "prompt": "two"},
        {"id": "thrice", "prompt": None},
        {"id": "thrice", "prompt": "x"},
        {"id": "thrice", "prompt": "y"},
        {"id": None, "prompt": "x"},
        {"id": None, "prompt": "x"},
    ]
    good, bad = read(write(tmp_path / f"m.{suffix}", rows))
    assert list(good) == ["good"]
    assert [r.row for r in bad if r.reason == REPEATED] == [1, 3, 4, 5, 6]
    assert [r.row for r in bad if "missing" in r.reason] == [7, 8]


def test_ids_repeated_across_files(tmp_path: Path) -> None:
    write(tmp_path / "m/b.csv", [{"id": "same", "prompt": "x"}, GOOD])
    write(tmp_path / "m/a.parquet", [{"id": "same", "prompt": "x"}])
    good, bad = read(tmp_path / "m")
    assert list(good) == ["good"]
    assert [(r.file, r.row) for r in bad] == [("a.parquet", 1), ("b.csv", 1)]


def test_whole_number_ids_repeat_as_text(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": 7, "prompt": "x"}\n{"id": "7", "prompt": "x"}\n')
    assert [r.reason for r in read(path)[1]] == [REPEATED, REPEATED]


def test_nan_duration_in_parquet(tmp_path: Path) -> None:
    rows = [{**GOOD, "duration_s": 3.0}, {"id": "bad", "prompt": "x", "duration_s": NAN}]
    good, (bad,) = read(write(tmp_path / "m.parquet", rows))
    assert list(good) == ["good"]
    assert (bad.column, bad.value, bad.id) == ("duration_s", "nan", "bad")


def test_text_that_is_no_utf8_in_parquet(tmp_path: Path) -> None:
    raw = pa.array([b"fine", b"\xff\xfe", b"fine"], pa.binary())
    broken = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a", "b", "c"], "prompt": broken}), tmp_path / "m.parquet")
    good, (bad,) = read(tmp_path / "m.parquet")
    assert list(good) == ["a", "c"]
    assert (bad.row, bad.column, bad.reason) == (2, "prompt", "not valid UTF-8")


def test_deadlines_outside_the_calendar(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    times = pa.array([0, 2**60], pa.timestamp("us"))
    table = pa.table({"id": ["a", "b"], "prompt": ["x", "x"], "deadline": times})
    pq.write_table(table, tmp_path / "m.parquet")
    good, (bad,) = read(tmp_path / "m.parquet")
    assert good["a"].spec.deadline == "1970-01-01T00:00:00+00:00"
    assert bad.column == "deadline"


def test_values_are_shown_short_and_printable(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", [{"id": "a", "prompt": "x\x1b[31m" + "y" * 20_000}])
    (bad,) = read(path)[1]
    assert bad.value is not None
    assert bad.value.startswith("x\\x1b[31myyy")
    assert len(bad.value) == 120


def test_a_row_can_be_rejected_later(tmp_path: Path) -> None:
    good, _ = read(write(tmp_path / "m.csv", [GOOD]))
    rejected = good["good"].reject(RequestError("fps", 25.0, "the engine makes 16"))
    assert (rejected.row, rejected.id, rejected.column) == (1, "good", "fps")
    assert (rejected.value, rejected.reason) == ("25.0", "the engine makes 16")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*TYPES, "x_y", "junk"]), JUNK, max_size=8))
def test_no_row_breaks_the_reader(values: Row) -> None:
    with suppress(RequestError):
        spec = read_row(values)
        assert spec.id
        assert spec.prompt or spec.events
