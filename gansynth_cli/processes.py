"""Worker processes: how they start, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any


def clean_context(*preload: str) -> Any:
    """The multiprocessing context whose processes start clean: TensorFlow, if this process has it, must not be forked.

    Args:
        preload: Modules that the workers share, loaded once where the platform has a fork server.
    """
    methods = multiprocessing.get_all_start_methods()
    if "forkserver" not in methods:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    if preload:
        context.set_forkserver_preload(list(preload))
    return context


def follow_parent() -> None:
    """Called in a worker: leaves Ctrl-C to the parent, and ends with it. A pool's workers would wait for ever for one that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
