"""PESQ, STOI, ESTOI and DNSMOS by their reference packages, wrapped so that failures are counted.

The packages come with the extra `metrics` (PESQ is compiled from C on installation); each is imported when first used.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MissingExtraError
from ..figure import MetricError
from .waveform import as_pair

PESQ_RATE = 16000
DNSMOS_RATE = 16000
_LONG_SECONDS, _PART_SECONDS = 60.0, 20.0
_STOI_SENTINEL = 1e-5  # pystoi returns this, with a warning, if too little speech is left


def pesq_wb(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute wide-band PESQ: the mean opinion score predicted by ITU-T P.862.2 (MOS-LQO). Rix et al. 2001.

    1.04 (worst) to 4.64 (equal signals); higher is better. Invariant to level and a constant delay. The package `pesq` compiles
    ITU's own code; programs with ITU's later corrections, narrow band or the raw score give other values, so always state which
    one was used. P.862 is validated on 8 to 30 s of speech, and the code holds 50 utterances: a recording above a minute is
    measured in parts of 20 s, without those that contain no speech.

    Args:
        reference, estimate: float [samples].
        sample_rate: Exactly 16,000.

    Raises:
        MetricError: Another rate; no utterance found; too short (under 1/4 s); as `as_pair`.
        MissingExtraError: `pesq` is not installed.
    """
    try:
        import pesq
    except ImportError as error:
        raise MissingExtraError("PESQ", "metrics") from error
    if sample_rate != PESQ_RATE:
        raise MetricError(f"PESQ-WB is defined at {PESQ_RATE} Hz, not at {sample_rate}")
    reference, estimate = as_pair(reference, estimate)
    length = len(reference)
    if length <= _LONG_SECONDS * sample_rate:
        edges = [0, length]
    else:
        parts = round(length / (_PART_SECONDS * sample_rate))
        edges = [length * part // parts for part in range(parts + 1)]
    scores = []
    for start, stop in pairwise(edges):
        clean, other = reference[start:stop], estimate[start:stop]
        try:
            if np.abs(clean).max() > 0:  # the package scales by the larger peak
                scores.append(float(pesq.pesq(sample_rate, clean, other, "wb")))
        except pesq.NoUtterancesError:
            continue
        except pesq.BufferTooShortError as error:
            raise MetricError("too short for PESQ: under a quarter of a second") from error
        except (pesq.PesqError, ValueError, ZeroDivisionError) as error:
            raise MetricError(f"PESQ failed: {_text(error)}") from error
    if not scores:
        raise MetricError("PESQ found no utterance (NoUtterancesError)")
    score = float(np.mean(scores))
    if not np.isfinite(score):
        raise MetricError("PESQ gave no number")
    return score


def stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the short-time objective intelligibility, package `pystoi`. Taal et al. 2011.

    About 0 to 1 (can fall slightly below 0); higher is better. Both are resampled to 10 kHz, frames more than 40 dB below the
    reference's loudest are left out, and 30 of the others in a row (384 ms) are needed.

    Raises:
        MetricError: Too little speech is left (the package warns and returns 1e-5); as `as_pair`.
        MissingExtraError: `pystoi` is not installed.
    """
    return _stoi(reference, estimate, sample_rate, extended=False)


def estoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute extended STOI, for fluctuating noise and non-linear processing; otherwise as `stoi`. Jensen and Taal 2016."""
    return _stoi(reference, estimate, sample_rate, extended=True)


def _stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int, *, extended: bool) -> float:
    try:
        import pystoi
    except ImportError as error:
        raise MissingExtraError("STOI", "metrics") from error
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    # The extended form adds a little random noise to each matrix row that it normalises; a seed makes the result repeatable.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = float(pystoi.stoi(reference, estimate, sample_rate, extended=extended))
    except (ValueError, IndexError) as error:  # shorter than one frame
        raise MetricError(f"too short for STOI: {len(reference)} samples") from error
    finally:
        np.random.set_state(state)
    if score == _STOI_SENTINEL:
        raise MetricError("STOI: fewer than 30 frames of speech")
    if not np.isfinite(score):
        raise MetricError("STOI gave no number")
    return score


def dnsmos(estimate: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Compute DNSMOS P.835 of a recording without a reference, package `speechmos`. Reddy et al. 2022.

    Mean opinion scores predicted by a network, about 1 to 5, higher is better: speech ("sig"), background ("bak") and overall
    ("ovrl"). Windows of 9 s, a second apart, are averaged; a shorter recording is repeated. Samples beyond full scale are
    clipped, as on playback. Insensitive to intelligibility: it rewards gating that damages speech. Never use it alone.

    Args:
        estimate: float [samples].
        sample_rate: Exactly 16,000.

    Raises:
        MetricError: Another rate, no samples, NaN samples, silence.
        MissingExtraError: `speechmos` (or what it needs) is not installed.
    """
    if sample_rate != DNSMOS_RATE:
        raise MetricError(f"DNSMOS is defined at {DNSMOS_RATE} Hz, not at {sample_rate}")
    estimate = np.asarray(estimate, np.float32)
    as_pair(np.ones_like(estimate), estimate)
    found = _dnsmos_model()(np.clip(estimate, -1.0, 1.0), sample_rate, False)
    return {name: float(found[f"{name}_mos"]) for name in ("sig", "bak", "ovrl")}


@lru_cache(maxsize=1)
def _dnsmos_model() -> Any:
    try:
        import onnxruntime
        from speechmos import dnsmos as package
    except ImportError as error:
        raise MissingExtraError("DNSMOS", "metrics") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # files are measured in parallel, so a session uses one core
    folder = Path(package.__file__).parent / "dnsmos_models"
    model = package.DNSMOS.__new__(package.DNSMOS)  # its __init__ does the same two lines with threads on all cores
    model.onnx_sess = onnxruntime.InferenceSession(str(folder / "sig_bak_ovr.onnx"), options, providers=["CPUExecutionProvider"])
    model.p808_onnx_sess = onnxruntime.InferenceSession(str(folder / "model_v8.onnx"), options, providers=["CPUExecutionProvider"])
    return model


def versions() -> dict[str, str | None]:
    """Return the installed version of each package (None: not installed), for reports: figures depend on it."""
    found: dict[str, str | None] = {}
    for name in ("pesq", "pystoi", "speechmos", "onnxruntime", "swift-f0"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _text(error: Exception) -> str:
    given = error.args[0] if error.args else type(error).__name__
    return given.decode(errors="replace") if isinstance(given, bytes) else str(given)
