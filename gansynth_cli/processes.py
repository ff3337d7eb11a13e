"""Start and end of worker processes, signals, and the start of TensorFlow."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
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
    for number in _signals(signal.SIGINT, "SIGHUP"):  # a terminal sends these to every process of the command
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _signals(*wanted: signal.Signals | str) -> list[signal.Signals]:
    """The signals that this system has, of those named."""
    named = (getattr(signal, number, None) if isinstance(number, str) else number for number in wanted)
    return [number for number in named if number is not None]


@contextmanager
def ending_at_once(pool: ProcessPoolExecutor, grace: float = 0.0) -> Iterator[ProcessPoolExecutor]:
    """Run a block with a pool of workers: when the block fails or is interrupted, end them in the middle of their work, which would
    otherwise be waited for, minutes for a long recording. What they write has to be swept afterwards.

    Args:
        pool: The pool, which the block gets.
        grace: Seconds for workers that can end by themselves.
    """
    workers: dict[int, Any] = {}
    try:
        with pool:
            try:
                yield pool
            except BaseException:
                workers = dict(pool._processes or {})  # public only from Python 3.14 on, as `kill_workers`
                pool.shutdown(wait=False, cancel_futures=True)
                deadline = time.monotonic() + grace
                for worker in workers.values():
                    worker.join(max(0.0, deadline - time.monotonic()))
                    worker.kill()
                raise
    finally:
        for worker in workers.values():
            worker.join()


class Interrupts:
    """SIGTERM and SIGHUP end a command as Ctrl-C does: what is unfinished is removed, no process stays. A second signal ends it at once.

    Attributes:
        number: The first signal that arrived; None: none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def install(self) -> None:
        """Handle the signals of this process; called once, by the main thread."""
        for number in _signals(signal.SIGINT, signal.SIGTERM, "SIGHUP"):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        if self.number is not None:
            os._exit(self.exit_code(130))  # workers notice and end; what they leave is swept at the next start
        self.number = number
        raise KeyboardInterrupt

    def exit_code(self, code: int) -> int:
        """The exit code of a command that returned `code`: 128 and the signal, 130 for Ctrl-C."""
        return code if self.number is None or code != 130 else 128 + self.number


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
    """Set `stop` on the first SIGINT, SIGTERM or SIGHUP and call `on_first`; on the second, end the process at once with exit code 130,
    which loses nothing where files are written atomically. In another thread than the main one signals stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            os._exit(EXIT_INTERRUPTED)
        stop.set()
        on_first()

    before = {number: signal.signal(number, handle) for number in _signals(signal.SIGINT, signal.SIGTERM, "SIGHUP")}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
