"""Who asks: the name that a job belongs to, and that its events bear."""

from __future__ import annotations

import getpass
import os
import socket


def this_person() -> str:
    """The user's name; jobs of one name share the queue's fairness."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def this_person_here() -> str:
    """The user's name and machine, for events."""
    return f"{this_person()} on {socket.gethostname()}"
