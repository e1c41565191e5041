"""Waiting for a condition, for the stories that call a service."""

import time

PATIENCE_S = 60


def once(what, look):
    """What `look` returns when that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.01)
    raise AssertionError(f"does not happen: {what}")
