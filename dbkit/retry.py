"""When to try again after a conflict: pure; the caller sleeps.

Not by a retry library: stamina's hooks and switches are global, and by default it logs every retry on the standard error
of programs that configure no logging. A conflict is an everyday answer that nobody needs to read of.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from time import monotonic

__all__ = ["pauses"]


def pauses(
    timeout_s: float, *, attempts: int | None = None, first_s: float = 0.002, most_s: float = 0.25
) -> Iterator[float]:
    """Yield how long to sleep before each next attempt; ends when it should be the last word.

    The pause doubles from *first_s* to *most_s*, with jitter, so that those who met do not meet again. Ends after
    *attempts* in all, the first included, or when the next attempt would begin later than *timeout_s* from now.
    """
    deadline, pause, made = monotonic() + timeout_s, first_s, 1
    while (attempts is None or made < attempts) and monotonic() + pause < deadline:
        yield random.uniform(pause / 2, pause)  # noqa: S311  # jitter, no secret
        pause = min(pause * 2, most_s)
        made += 1
