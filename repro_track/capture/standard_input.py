"""What a person or another program has given to this one while it ran: its standard input, what was typed.

No record has it, so that it is said when a run is recorded. It never reads any of it itself. It is loaded with the
package's root, and uses the standard library alone.
"""

from __future__ import annotations

import os
import stat
import sys

from repro_track.capture.executed import has_asked

_Left = tuple[int, int, int]


def _measure_input() -> _Left | None:
    """Measure how much is left of the standard input, where it is a file or a pipe: its device, its inode, bytes."""
    try:
        found = os.fstat(0)
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino, found.st_size - os.lseek(0, 0, os.SEEK_CUR)
        if stat.S_ISFIFO(found.st_mode):
            import fcntl
            import termios

            waiting = fcntl.ioctl(0, termios.FIONREAD, b"\0" * 4)
            return found.st_dev, found.st_ino, int.from_bytes(waiting, sys.byteorder)
    except (OSError, ImportError):
        return None  # it is closed
    return None


_input_before: _Left | None = None


def watch_input() -> None:
    """Note how much of the standard input has not been read yet: what is read before is not seen."""
    global _input_before
    _input_before = _measure_input()


def list_taken_input() -> list[str]:
    """List what this process was given by hand or through a pipe since it was told to watch, a sentence each."""
    before, now = _input_before, _measure_input()
    if has_asked():
        return ["it asked for input, which is not recorded"]
    if before and now and before[:2] == now[:2] and now[2] < before[2]:
        return ["it read its standard input, which is not recorded: a replay has none"]
    return []
