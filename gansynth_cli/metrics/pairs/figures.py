"""All figures of one recording against another, and `measure_pair`, which computes a choice of them.

The functions themselves are in `waveform` (with their conventions), `perceptual`, `composite`, `spectral` and `pitch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np

from ...data.audio import audio_file
from ...errors import MissingExtraError, UsageError
from ..figure import Figure, MetricError
from .composite import composite_from, log_likelihood_ratio, weighted_spectral_slope
from .learned import distill_mos, word_error_rate
from .perceptual import dnsmos, estoi, pesq_wb, stoi
from .pitch import log_f0_rmse, voicing_error
from .spectral import log_spectral_distance, mcd, mel_l1, multi_resolution_stft_distance, spectrogram_psnr, spectrogram_ssim
from .waveform import segmental_snr, si_sdr, snr, waveform_correlation

_RATE = 16000  # Hz: the only rate at which PESQ-WB, and what is computed from it, and DNSMOS are defined


class Pair:
    """Two recordings of the same length and rate, aligned, and what several figures need of them.

    Args:
        reference, estimate: float [samples].
        sample_rate: Hz.
        whisper: Folder of the recogniser that counts word errors.
    """

    def __init__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, whisper: str = ""):
        self.sample_rate, self.whisper = sample_rate, whisper
        self._at = {sample_rate: (reference, estimate)}

    def at(self, rate: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
        """Return reference, estimate and rate, resampled (soxr, high quality) to `rate` Hz; 0 is their own."""
        rate = rate or self.sample_rate
        if rate not in self._at:
            first, second = (np.asarray(signal, np.float64) for signal in self._at[self.sample_rate])
            self._at[rate] = (audio_file.resample(first, self.sample_rate, rate), audio_file.resample(second, self.sample_rate, rate))
        return *self._at[rate], rate

    @cached_property
    def pesq(self) -> float:
        return pesq_wb(*self.at(_RATE))

    @cached_property
    def composite(self) -> dict[str, float]:
        pesq = self.pesq  # first: its reason is the one to report
        return composite_from(pesq, *(part(*self.at(_RATE)) for part in (log_likelihood_ratio, weighted_spectral_slope, segmental_snr)))

    @cached_property
    def word_error_rate(self) -> float:
        reference, estimate, rate = self.at(_RATE)
        return word_error_rate(reference, estimate, rate, self.whisper)

    @cached_property
    def dnsmos(self) -> dict[str, float]:
        _, estimate, rate = self.at(_RATE)
        return dnsmos(estimate, rate)


def _of(measure: Callable[[np.ndarray, np.ndarray, int], float]) -> Callable[[Pair], float]:
    return lambda pair: measure(*pair.at())


_PESQ, _STOI, _DNSMOS, _PITCH = ("pesq",), ("pystoi",), ("speechmos", "onnxruntime", "librosa"), ("swift_f0",)
_UNIT, _MOS, _SHARE = "-1 to 1", "1 to 5", "0 to 1"
# fmt: off
FIGURES: dict[str, Figure] = {
    figure.key: figure
    for figure in (
        Figure("pesq", "PESQ-WB", "higher", unit="MOS", range="1.04 to 4.64", packages=_PESQ, rate=_RATE, compute=lambda pair: pair.pesq,
               meaning="MOS-LQO of ITU-T P.862.2 at 16 kHz, package `pesq` (ITU's code, compiled on installation: needs a C compiler). "
                       "Above a minute: mean over parts of 20 s with speech. Rix et al. 2001"),
        Figure("stoi", "STOI", "higher", range=_SHARE, packages=_STOI, compute=_of(stoi),
               meaning="Short-time objective intelligibility, package `pystoi`. Taal et al. 2011"),
        Figure("estoi", "ESTOI", "higher", range=_SHARE, packages=_STOI, compute=_of(estoi),
               meaning="Extended STOI, for fluctuating noise, package `pystoi`. Jensen and Taal 2016"),
        Figure("si_sdr", "SI-SDR", "higher", unit="dB", compute=_of(si_sdr),
               meaning="Scale-invariant signal-to-distortion ratio, means removed. Le Roux et al. 2019"),
        Figure("csig", "CSIG", "higher", unit="MOS", range=_MOS, packages=_PESQ, rate=_RATE, compute=lambda pair: pair.composite["csig"],
               meaning="Composite rating of the speech: 3.093 - 1.029 LLR + 0.603 PESQ - 0.009 WSS. Hu and Loizou 2008, with wide-band "
                       "PESQ as in the tables of this field"),
        Figure("cbak", "CBAK", "higher", unit="MOS", range=_MOS, packages=_PESQ, rate=_RATE, compute=lambda pair: pair.composite["cbak"],
               meaning="Composite rating of the background: 1.634 + 0.478 PESQ - 0.007 WSS + 0.063 segSNR"),
        Figure("covl", "COVL", "higher", unit="MOS", range=_MOS, packages=_PESQ, rate=_RATE, compute=lambda pair: pair.composite["covl"],
               meaning="Composite overall rating: 1.594 + 0.805 PESQ - 0.512 LLR - 0.007 WSS"),
        Figure("segmental_snr", "segSNR", "higher", unit="dB", range="-10 to 35", compute=_of(segmental_snr),
               meaning="Mean over frames of 30 ms of the SNR, each limited to [-10, 35] dB. Hansen and Pellom 1998"),
        Figure("dnsmos_sig", "DNS SIG", "higher", unit="MOS", range=_MOS, packages=_DNSMOS, rate=_RATE,
               compute=lambda pair: pair.dnsmos["sig"],
               meaning="DNSMOS P.835 of the estimate only (no reference): speech, package `speechmos`. Rewards gating that damages speech:"
                       " never use it alone. Reddy et al. 2022"),
        Figure("dnsmos_bak", "DNS BAK", "higher", unit="MOS", range=_MOS, packages=_DNSMOS, rate=_RATE,
               compute=lambda pair: pair.dnsmos["bak"],
               meaning="DNSMOS P.835: background"),
        Figure("dnsmos_ovrl", "DNS OVRL", "higher", unit="MOS", range=_MOS, packages=_DNSMOS, rate=_RATE,
               compute=lambda pair: pair.dnsmos["ovrl"],
               meaning="DNSMOS P.835: overall"),
        Figure("distillmos", "DistillMOS", "higher", unit="MOS", range=_MOS, packages=("distillmos", "torch"), extra="judges", rate=_RATE,
               compute=lambda pair: distill_mos(*pair.at(_RATE)[1:]),
               meaning="Opinion score of the estimate only (no reference), package `distillmos`: a small network taught by a large one. "
                       "Saturates above 4.4. Stahl and Gamper 2025"),
        Figure("wer", "WER", "lower", range="0 (same words) or more", packages=("faster_whisper",), extra="judges", rate=_RATE,
               needs="--whisper", compute=lambda pair: pair.word_error_rate,
               meaning="Word error rate against the words that the same recogniser hears in the reference: a Whisper model of the user's, "
                       "package `faster-whisper`"),
        Figure("snr", "SNR", "higher", unit="dB", compute=_of(snr),
               meaning="Energy of the reference over that of the difference, whole file"),
        Figure("correlation", "corr", "higher", range=_UNIT, compute=_of(waveform_correlation),
               meaning="Pearson's correlation of the samples"),
        Figure("psnr", "PSNR", "higher", unit="dB", range="up to 100", compute=_of(spectrogram_psnr),
               meaning="Peak signal-to-noise ratio of the spectrograms as images: windows of 32 ms, a quarter apart, from 80 dB below the "
                       "reference's loudest point to that point"),
        Figure("ssim", "SSIM", "higher", range=_UNIT, compute=_of(spectrogram_ssim),
               meaning="Structural similarity of the images of PSNR, Gaussian window of sigma 1.5. Wang et al. 2004"),
        Figure("lsd", "LSD", "lower", range="0 (equal) or more", compute=_of(log_spectral_distance),
               meaning="Log-spectral distance: FFT 2048, hop 512, log10 of power (times 10 is dB), floor 1e-8; root mean square over "
                       "frequency, mean over frames"),
        Figure("mr_stft", "MR-STFT", "lower", range="0 (equal) or more", compute=_of(multi_resolution_stft_distance),
               meaning="Spectral convergence + mean absolute difference of ln magnitude, mean over FFT 512, 1024, 2048. Yamamoto et al. "
                       "2020"),
        Figure("mel_l1", "mel L1", "lower", unit="nat", range="0 (equal) or more", compute=_of(mel_l1),
               meaning="Mean absolute difference of ln mel (80 Slaney bands of equal area, window 1024, hop 256, magnitudes, floor 1e-5): "
                       "HiFi-GAN's training loss. Kong et al. 2020"),
        Figure("mcd", "MCD", "lower", unit="dB", range="0 (equal) or more", compute=_of(mcd),
               meaning="Mel-cepstral distortion of coefficients 1 to 13 of the ln mel of `mel_l1`, frame by frame, in frames within 50 dB "
                       "of the loudest. Other front ends give other values. Kubichek 1993"),
        Figure("log_f0_rmse", "log-F0 RMSE", "lower", unit="nat", range="0 (equal) or more", packages=_PITCH, compute=_of(log_f0_rmse),
               meaning="Root mean square difference of ln F0 over the frames voiced in both, tracker `swift-f0`; 0.058 is a semitone"),
        Figure("voicing_error", "voicing error", "lower", range=_SHARE, packages=_PITCH, compute=_of(voicing_error),
               meaning="Share of frames voiced in one and not in the other, tracker `swift-f0`"),
    )
}
# fmt: on
_GROUPS = {"composite": ("csig", "cbak", "covl"), "dnsmos": ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")}
ENHANCEMENT = (
    *("pesq", "stoi", "estoi", "si_sdr", "csig", "cbak", "covl", "segmental_snr"),
    *("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "correlation", "psnr", "ssim", "lsd"),
)
SYNTHESIS = ("pesq", "stoi", "mr_stft", "mel_l1", "mcd", "log_f0_rmse", "voicing_error", "lsd", "ssim", "correlation")
PRESETS = {"enhancement": ENHANCEMENT, "synthesis": SYNTHESIS}


def choose(names: str, default: tuple[str, ...], *, whisper: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose figures by name.

    Args:
        names: Keys separated by commas, as given to `--metrics`; "composite" and "dnsmos" stand for three each; "all"; one of
            `PRESETS`; "" takes the default.
        default: Keys.
        whisper: A recogniser is given.

    Returns:
        (keys, keys of the default, of a preset or of "all" that are left out because their package is not installed). Without a
        recogniser "all" leaves out what needs it.

    Raises:
        UsageError: An unknown name, or word errors without a recogniser.
        MissingExtraError: A figure that is named needs a package that is not installed.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    presets = {"": default, "all": tuple(FIGURES), **PRESETS}
    if len(asked) < 2 and "".join(asked) in presets:
        wanted = tuple(key for key in presets["".join(asked)] if whisper or not FIGURES[key].needs)
        there = tuple(key for key in wanted if FIGURES[key].installed)
        return there, tuple(key for key in wanted if key not in there)
    keys: dict[str, None] = {}
    for name in asked:
        for key in _GROUPS.get(name, (name,)):
            if key not in FIGURES:
                raise UsageError(
                    f"There is no measure {name!r}; expected some of {', '.join([*FIGURES, *_GROUPS])}; or all, {' or '.join(PRESETS)}.",
                    hint="gan-audio evaluate figures pairs defines each",
                )
            if not FIGURES[key].installed:
                raise MissingExtraError(FIGURES[key].title, FIGURES[key].extra)
            if FIGURES[key].needs and not whisper:
                raise UsageError(
                    f"{FIGURES[key].title} needs a recogniser, and none is given.",
                    hint="--whisper FOLDER, a Whisper model in the format of CTranslate2",
                )
            keys[key] = None
    return tuple(keys), ()


def measure_pair(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, keys: Iterable[str], whisper: str = ""
) -> dict[str, float | str]:
    """Compute a choice of figures of one pair.

    Args:
        reference, estimate: float [samples], the same length and rate, aligned.
        sample_rate: Hz. For figures of a fixed rate both are resampled (soxr, high quality).
        keys: Keys of `FIGURES`.
        whisper: Folder of the recogniser that counts word errors.

    Returns:
        For each key its value, or the reason (str) why there is none.

    Raises:
        MissingExtraError: A package that a key needs is not installed.
    """
    pair = Pair(reference, estimate, sample_rate, whisper)
    found: dict[str, float | str] = {}
    for key in dict.fromkeys(keys):
        compute = FIGURES[key].compute
        assert compute is not None
        try:
            found[key] = compute(pair)
        except MetricError as failure:
            found[key] = failure.reason
    return found
