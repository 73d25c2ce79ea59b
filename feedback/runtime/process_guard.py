"""So that nothing outlives its parent: the kernel kills a child when the thread that started it ends.

Without it a `kill -9` of the supervisor would leave workers behind that keep writing beside their successors.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); survives exec

# Loaded here rather than between fork and exec, where only what is already in memory may safely be called.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL when `parent` ends, and leave at once if it ended before this call.

    Call in the child. Start children from a thread that outlives them: it is the thread that counts, not the process.
    Where there is no such system call (not Linux) this does nothing.
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
