"""Parent-death signal: the kernel kills a child process when the thread that started it ends.

Without it, a `kill -9` of the supervisor would leave workers that keep writing while their successors run.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); survives exec

# Loaded here, because loading a library between fork and exec is not safe.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """Request SIGKILL from the kernel for when `parent` ends, and exit at once if it has ended before this call.

    Call it in the child. The thread that starts a child must outlive it, because the signal is sent when that thread
    ends. On systems other than Linux this does nothing.
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
