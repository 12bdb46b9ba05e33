"""Frames to an MP4 that is whole, exact and rightly tagged, or isn't there; and checking it."""
