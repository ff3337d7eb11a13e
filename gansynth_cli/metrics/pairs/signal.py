"""All measures of one recording against another, in one table, and `measure_pair`, which computes a choice of them.

The functions themselves live beside this file: `waveform` (and the conventions), `perceptual`, `composite`, `spectral`, `pitch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import soxr

from ...errors import MissingExtraError, UsageError
from .composite import composite, composite_from, log_likelihood_ratio, weighted_spectral_slope
from .perceptual import dnsmos, estoi, pesq_wb, stoi, versions
from .pitch import log_f0_rmse, voicing_error
from .spectral import log_spectral_distance, mcd, mel_l1, multi_resolution_stft_distance, spectrogram_psnr, spectrogram_ssim
from .waveform import MetricError, lag_samples, mixed_snr, segmental_snr, si_sdr, snr, waveform_correlation

__all__ = [
    "MEASURES",
    "Measure",
    "MetricError",
    "choose",
    "composite",
    "composite_from",
    "dnsmos",
    "estoi",
    "installed",
    "lag_samples",
    "log_f0_rmse",
    "log_likelihood_ratio",
    "log_spectral_distance",
    "mcd",
    "measure_pair",
    "mel_l1",
    "mixed_snr",
    "multi_resolution_stft_distance",
    "pesq_wb",
    "segmental_snr",
    "si_sdr",
    "snr",
    "spectrogram_psnr",
    "spectrogram_ssim",
    "stoi",
    "versions",
    "voicing_error",
    "waveform_correlation",
    "weighted_spectral_slope",
]


@dataclass(frozen=True)
class Measure:
    """One figure of a report.

    Attributes:
        key: Its name in reports and in `--metrics`.
        title: Its name in tables.
        better: "higher" or "lower".
        unit: "dB", "MOS", ... or "".
        packages: What must be importable beside the core's packages.
        rate: The only sample rate it is defined at, Hz; 0: any. Recordings at others are resampled for it.
        compute: (reference, estimate, sample_rate) -> value; None for those that `measure_pair` takes out of a larger result.
    """

    key: str
    title: str
    better: str
    unit: str
    packages: tuple[str, ...] = ()
    rate: int = 0
    compute: Callable[[np.ndarray, np.ndarray, int], float] | None = None


_DNSMOS_PACKAGES = ("speechmos", "onnxruntime", "librosa")
MEASURES: dict[str, Measure] = {
    measure.key: measure
    for measure in (
        Measure("pesq", "PESQ-WB", "higher", "MOS", ("pesq",), 16000, pesq_wb),
        Measure("stoi", "STOI", "higher", "", ("pystoi",), 0, stoi),
        Measure("estoi", "ESTOI", "higher", "", ("pystoi",), 0, estoi),
        Measure("si_sdr", "SI-SDR", "higher", "dB", compute=si_sdr),
        Measure("csig", "CSIG", "higher", "MOS", ("pesq",), 16000),
        Measure("cbak", "CBAK", "higher", "MOS", ("pesq",), 16000),
        Measure("covl", "COVL", "higher", "MOS", ("pesq",), 16000),
        Measure("segmental_snr", "segSNR", "higher", "dB", compute=segmental_snr),
        Measure("dnsmos_sig", "DNS SIG", "higher", "MOS", _DNSMOS_PACKAGES, 16000),
        Measure("dnsmos_bak", "DNS BAK", "higher", "MOS", _DNSMOS_PACKAGES, 16000),
        Measure("dnsmos_ovrl", "DNS OVRL", "higher", "MOS", _DNSMOS_PACKAGES, 16000),
        Measure("snr", "SNR", "higher", "dB", compute=snr),
        Measure("correlation", "corr", "higher", "", compute=waveform_correlation),
        Measure("psnr", "PSNR", "higher", "dB", compute=spectrogram_psnr),
        Measure("ssim", "SSIM", "higher", "", compute=spectrogram_ssim),
        Measure("lsd", "LSD", "lower", "", compute=log_spectral_distance),
        Measure("mr_stft", "MR-STFT", "lower", "", compute=multi_resolution_stft_distance),
        Measure("mel_l1", "mel L1", "lower", "nat", compute=mel_l1),
        Measure("mcd", "MCD", "lower", "dB", compute=mcd),
        Measure("log_f0_rmse", "log-F0 RMSE", "lower", "nat", ("swift_f0",), 0, log_f0_rmse),
        Measure("voicing_error", "voicing error", "lower", "", ("swift_f0",), 0, voicing_error),
    )
}
ENHANCEMENT = (
    *("pesq", "stoi", "estoi", "si_sdr", "csig", "cbak", "covl", "segmental_snr"),
    *("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "correlation", "psnr", "ssim", "lsd"),
)
SYNTHESIS = ("pesq", "stoi", "mr_stft", "mel_l1", "mcd", "log_f0_rmse", "voicing_error", "lsd", "ssim", "correlation")
_COMPOSITE, _DNSMOS = {"csig", "cbak", "covl"}, {"dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl"}
PRESETS = {"enhancement": ENHANCEMENT, "synthesis": SYNTHESIS}
_GROUPS = {"composite": ("csig", "cbak", "covl"), "dnsmos": ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")}


def choose(names: str, default: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which measures to compute.

    Args:
        names: As given to `--metrics`: keys separated by commas; "composite" and "dnsmos" stand for their three; "all"; one of
            `PRESETS`; "" takes the default.
        default: Keys.

    Returns:
        (keys, keys of the default, of a preset or of "all" that are left out because their package is not installed).

    Raises:
        UsageError: An unknown name.
        MissingExtraError: A measure that is named needs a package that is not installed.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    presets = {"": default, "all": tuple(MEASURES), **PRESETS}
    if len(asked) < 2 and "".join(asked) in presets:
        wanted = presets["".join(asked)]
        there = tuple(key for key in wanted if installed(key))
        return there, tuple(key for key in wanted if key not in there)
    keys: dict[str, None] = {}
    for name in asked:
        for key in _GROUPS.get(name, (name,)):
            if key not in MEASURES:
                raise UsageError(
                    f"There is no measure {name!r}; expected some of {', '.join([*MEASURES, *_GROUPS])}; or all, "
                    f"{', '.join(PRESETS)} alone.",
                    hint="docs/evaluate.md defines each",
                )
            if not installed(key):
                raise MissingExtraError(MEASURES[key].title, "metrics")
            keys[key] = None
    return tuple(keys), ()


def installed(key: str) -> bool:
    """Whether the packages that a measure needs can be imported."""
    return all(find_spec(package) is not None for package in MEASURES[key].packages)


def measure_pair(reference: np.ndarray, estimate: np.ndarray, sample_rate: int, keys: Iterable[str]) -> dict[str, float | str]:
    """A choice of measures of one pair.

    Args:
        reference, estimate: float [samples], the same length and rate, aligned.
        sample_rate: Hz. For measures of a fixed rate both are resampled (soxr, high quality).
        keys: Of `MEASURES`.

    Returns:
        For each key its value, or the reason (str) why there is none.

    Raises:
        MissingExtraError: A package that a key needs is not installed.
    """
    found: dict[str, float | str] = {}
    wanted = list(dict.fromkeys(keys))
    at_rate: dict[int, tuple[np.ndarray, np.ndarray]] = {sample_rate: (reference, estimate)}

    def pair_at(rate: int) -> tuple[np.ndarray, np.ndarray, int]:
        rate = rate or sample_rate
        if rate not in at_rate:
            at_rate[rate] = tuple(soxr.resample(np.asarray(signal, np.float64), sample_rate, rate) for signal in (reference, estimate))  # type: ignore[assignment]
        return *at_rate[rate], rate

    pesq: float | str | None = None
    for key in wanted:
        measure = MEASURES[key]
        if key in found:
            continue
        try:
            if key in _DNSMOS:
                clean, other, rate = pair_at(measure.rate)
                ratings = dnsmos(other, rate)
                found.update({f"dnsmos_{name}": value for name, value in ratings.items() if f"dnsmos_{name}" in wanted})
            elif key in _COMPOSITE:
                clean, other, rate = pair_at(measure.rate)
                pesq = pesq_wb(clean, other, rate) if pesq is None else pesq
                if isinstance(pesq, str):
                    raise MetricError(pesq)
                parts = (log_likelihood_ratio, weighted_spectral_slope, segmental_snr)
                ratings = composite_from(pesq, *(part(clean, other, rate) for part in parts))
                found.update({name: value for name, value in ratings.items() if name in wanted})
            else:
                assert measure.compute is not None
                found[key] = measure.compute(*pair_at(measure.rate))
        except MetricError as failure:
            group = _DNSMOS if key in _DNSMOS else _COMPOSITE if key in _COMPOSITE else {key}
            found.update(dict.fromkeys(group & set(wanted), failure.reason))
        if key == "pesq":
            pesq = found[key]
    return {key: found[key] for key in wanted}
