"""Start and end of worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any


def clean_context(*preload: str) -> Any:
    """Return a multiprocessing context whose processes start clean: TensorFlow must not be forked.

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
    """In a worker: leave Ctrl-C to the parent, and end with it. A pool's workers would otherwise wait forever for a killed parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
