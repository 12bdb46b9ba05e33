"""Decoding by all actors of a gang: the file is the one that one actor makes, whoever decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.handles import SegmentHandle
from pipeline.decode_options import DecodeOptions
from pipeline.decode_pieces import Piece
from pipeline.errors import SegmentError
from pipeline.spans import Span
from storage.open import StoreConfig
from tests.cluster.gangs import Notes, gang_of, oracle, order
from tests.cluster.test_gang import answer
from tests.plans import small_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef

    from actors.gang import Gang
    from actors.piece_worker import RunReport
    from pipeline.stores import ObjectStore

pytestmark = pytest.mark.cluster

# 102 latent frames in thirteen pieces.
NUM_FRAMES = 402
BY_PIECES = DecodeOptions(parallel=True, piece_latent_frames=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreConfig:
    return StoreConfig(uri=str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def gang(ray_cluster: None, store: StoreConfig) -> Iterator[Gang]:
    with gang_of(2, store) as gang:
        yield gang


def film(gang: Gang, store: ObjectStore, decode: DecodeOptions, num_segments: int) -> bytes:
    plan = small_plan(oracle(), NUM_FRAMES)
    take = gang.begin(plan, max_segments=num_segments)
    take.sample(Notes())
    notes = Notes()
    key = f"videos/clip/{decode.parallel}-{num_segments}.mp4"
    delivered = take.deliver(order(key, decode=decode), notes)
    assert delivered.info.num_frames == NUM_FRAMES
    assert notes.frames == sorted(notes.frames)
    assert notes.frames[-1] == NUM_FRAMES
    return store.get_bytes(key)


@pytest.mark.slow
def test_pieces_decoded_by_two_actors_make_the_file_that_a_stream_makes(
    gang: Gang, store: StoreConfig
) -> None:
    stream = film(gang, store(), DecodeOptions(), 1)
    assert film(gang, store(), BY_PIECES, 2) == stream


class CountingHandle(SegmentHandle):
    """A handle that notes how far ahead of the encoder each run is that is asked for."""

    asked: list[Span]

    def decode_run(
        self, epoch: int, index: int, run: Span, video: str
    ) -> tuple[ObjectRef[NDArray[np.uint8]], ObjectRef[RunReport]]:
        self.asked.append(run)
        return super().decode_run(epoch, index, run, video)


def test_no_more_pieces_are_in_flight_than_there_are_actors_and_one(
    gang: Gang, store: StoreConfig
) -> None:
    take = gang.begin(small_plan(oracle(), NUM_FRAMES))
    take.sample(Notes())
    asked: list[Span] = []
    for track in take.tracks:
        track.handle = CountingHandle(track.handle._actor, track.handle.seat)
        track.handle.asked = asked
    ahead = []

    def note(num_frames: int) -> None:
        ahead.append(max(run.stop for run in asked) - num_frames / 4)

    take.deliver(order("videos/clip/paced.mp4", decode=BY_PIECES), Notes(on_encoded=note))
    # A note comes when the oldest push is answered: that run itself is still counted.
    assert max(ahead) <= 3 * BY_PIECES.piece_latent_frames + 8
    assert sum(len(run) for run in asked) == 102 + 12 * oracle().spec.decode_reach_latent_frames


def test_a_run_of_a_piece_that_is_not_open_is_refused(gang: Gang) -> None:
    take = gang.begin(small_plan(oracle(), 33), max_segments=1)
    take.sample(Notes())
    handle, piece = take.handles[0], Piece(Span(0, 9), Span(1, 9))
    with pytest.raises(SegmentError, match="run of piece 3, which is not open"):
        answer(handle.decode_run(take.epoch, 3, Span(0, 1), "clip")[1])
    slots = [handle.slots(take.epoch, Span(0, 9), "clip")]
    answer(handle.open_piece(take.epoch, 3, piece, tiling=None, slots=slots, video="clip"))
    with pytest.raises(SegmentError, match=r"piece \[1, 9\): got run \[4, 5\), expected 0"):
        answer(handle.decode_run(take.epoch, 3, Span(4, 5), "clip")[1])
    assert answer(handle.decode_run(take.epoch, 3, Span(0, 1), "clip")[1]).num_frames == 0
    frames, report = handle.decode_run(take.epoch, 3, Span(1, 3), "clip")
    assert answer(report).num_frames == 8
    assert answer(frames).shape == (8, 16, 32, 3)
    answer(handle.abandon())
