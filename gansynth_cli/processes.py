"""Start and end of worker processes, signals, and the start of TensorFlow."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import EXIT_INTERRUPTED


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


def start_tensorflow() -> None:
    """Import TensorFlow without its start-up messages.

    Until its C++ logging is set up, TensorFlow writes to stderr whatever TF_CPP_MIN_LOG_LEVEL says. Its output is held back here,
    and shown if the import fails. GAN_AUDIO_TF_LOG=1 shows everything.
    """
    if "tensorflow" in sys.modules or os.environ.get("GAN_AUDIO_TF_LOG"):
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # loads the device plugins, which print too
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def stopping_on_signals(stop: threading.Event, on_first: Callable[[], None]) -> Iterator[None]:
    """Set `stop` on the first SIGINT or SIGTERM and call `on_first`; on the second, end the process at once with exit code 130, which loses
    nothing where files are written atomically. In another thread than the main one signals stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            os._exit(EXIT_INTERRUPTED)
        stop.set()
        on_first()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
