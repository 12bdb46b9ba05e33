"""How far a job and its current video have come, in figures that a display shows.

Knows nothing of terminals and logs. The clock is whatever the caller says it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from jobs.pace import Pace

if TYPE_CHECKING:
    from pipeline.plan import VideoPlan

Phase = Literal["loading", "sampling", "decoding", "uploading"]

# Of a video's time, as far as the job's ETA is concerned: decoding and uploading take the rest.
SAMPLING_SHARE = 0.85


@dataclass(slots=True)
class VideoCount:
    """How far one video has come.

    Attributes:
        num_steps: denoising steps, the same for each segment.
        num_frames: frames to be encoded.
        phase: what is being done now.
        done: steps of segments, or frames, in this phase.
        total: how many there are in this phase; 0 if it can't be told.
    """

    num_steps: int
    num_frames: int
    begun_s: float
    mark_s: float
    phase: Phase = "loading"
    done: int = 0
    total: int = 0

    @classmethod
    def of(cls, plan: VideoPlan, now_s: float) -> VideoCount:
        """A video that begins now."""
        return cls(plan.num_steps, plan.request.num_frames, now_s, now_s)

    def enter(self, phase: Phase, total: int, now_s: float) -> None:
        """Begin a phase; a second attempt enters a phase again."""
        self.phase, self.done, self.total = phase, 0, total
        self.begun_s = self.mark_s = now_s

    def step_done(self, now_s: float) -> None:
        """One segment has done one step."""
        self.done, self.mark_s = self.done + 1, now_s

    def frames_done(self, num_frames: int, now_s: float) -> None:
        """So many frames are encoded by now; after the last, only the upload is left."""
        if self.phase == "sampling":
            self.enter("decoding", self.num_frames, now_s)
        self.done, self.mark_s = num_frames, now_s
        if self.phase == "decoding" and num_frames >= self.num_frames:
            self.enter("uploading", 0, now_s)

    @property
    def pace(self) -> Pace:
        """The pace of this phase."""
        return Pace(self.begun_s, self.mark_s, self.done, self.total)

    @property
    def share_done(self) -> float:
        """How much of the whole video is done, 0 to 1."""
        share = self.done / self.total if self.total else 0.0
        match self.phase:
            case "loading":
                return 0.0
            case "sampling":
                return SAMPLING_SHARE * share
            case "decoding":
                return SAMPLING_SHARE + (1 - SAMPLING_SHARE) * share
            case "uploading":
                return 1.0


@dataclass(slots=True)
class JobCount:
    """How far a job has come.

    Attributes:
        num_rows: rows of the manifest.
        finished: videos rendered or failed in this run.
        skipped: videos that were there already.
        failed: videos that failed.
        given_up: videos that failed too often and were not tried.
        rejected: rows that can't be rendered.
        videos: the videos that are being rendered.
    """

    num_rows: int = 0
    finished: int = 0
    skipped: int = 0
    failed: int = 0
    given_up: int = 0
    rejected: int = 0
    begun_s: float | None = None
    mark_s: float = 0.0
    videos: dict[str, VideoCount] = field(default_factory=dict)

    @property
    def rows_done(self) -> int:
        """Rows that are done with, one way or another."""
        return self.finished + self.skipped + self.given_up + self.rejected

    @property
    def pace(self) -> Pace:
        """The pace of rendering; rows that cost nothing don't count."""
        done = self.finished + sum(video.share_done for video in self.videos.values())
        total = self.num_rows - self.skipped - self.given_up - self.rejected
        begun_s = self.mark_s if self.begun_s is None else self.begun_s
        return Pace(begun_s, self.mark_s, done, total)

    def video_started(self, plan: VideoPlan, now_s: float) -> VideoCount:
        """A video begins."""
        self.mark_s = now_s
        video = self.videos[plan.request.id] = VideoCount.of(plan, now_s)
        return video

    def sampling_started(
        self, video_id: str, num_segments: int, now_s: float, first_step: int = 0
    ) -> VideoCount:
        """A video's actors are ready; steps before ``first_step`` are in a snapshot."""
        video = self._marked(video_id, now_s)
        # Loading the engine comes once, however many videos follow: it is no part of the pace.
        if self.begun_s is None:
            self.begun_s = now_s
        video.enter("sampling", (video.num_steps - first_step) * num_segments, now_s)
        return video

    def step_done(self, video_id: str, now_s: float) -> VideoCount:
        """A segment of a video has done a step."""
        video = self._marked(video_id, now_s)
        video.step_done(now_s)
        return video

    def frames_done(self, video_id: str, num_frames: int, now_s: float) -> VideoCount:
        """So many frames of a video are encoded by now."""
        video = self._marked(video_id, now_s)
        video.frames_done(num_frames, now_s)
        return video

    def video_finished(self, video_id: str, *, failed: bool, now_s: float) -> None:
        """A video is rendered or has failed."""
        self._marked(video_id, now_s)
        del self.videos[video_id]
        self.finished += 1
        self.failed += failed

    def video_left(self, video_id: str, now_s: float) -> None:
        """A video is another driver's now."""
        self._marked(video_id, now_s)
        del self.videos[video_id]

    def _marked(self, video_id: str, now_s: float) -> VideoCount:
        self.mark_s = now_s
        return self.videos[video_id]
