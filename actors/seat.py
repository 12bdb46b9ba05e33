"""Where an actor sits: its job and its place in the fleet; it says so in logs, metrics and repr."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seat:
    """One place of one job's fleet; whoever is replaced leaves it to the next.

    Attributes:
        job: the job's name, the submission id if there is one.
        place: number of the placement group's bundle.
    """

    job: str = "render"
    place: int = 0

    @property
    def actor(self) -> str:
        """The place, as labels and logs have it: few values, however many actors come and go."""
        return f"actor-{self.place:03d}"

    def __str__(self) -> str:
        return f"{self.job}/{self.actor}"
