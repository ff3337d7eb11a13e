"""Clean speech and noise to a noisy recording and its target, as graph functions of one clip.

`mix` does what it is told (`Conditions`, in dB and Hz); `draw_conditions` draws that as a recipe's `[data.mixing]` says.
`at_snr` is the plain mixture of two signals, for benchmarks. What comes before them, the choice and the cutting of speech and
noises, is in `mixing_stream.py`.

All that is linear in a source (its filter, the recording's band limits, its room) is one multiplication of its spectrum. The
target passes through the same filters and the same band limits: a denoiser shall neither undo the colour of a microphone nor
invent a band that the recording does not have. Of the room it keeps the direct sound and the first reflections, which the
response has from sample 0 on, so it is aligned with the speech in the noisy clip to the sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ...recipe_schema import Mixing
from .narrowing import NARROW_SHAPES, between_octaves, good_fft_length, narrowed
from .room_acoustics import PLACES
from .synthetic_noise import between

GROUPS = PLACES - 1  # of noises, each with a filter and a place of its own
BANDS_HZ = (60.0, 120.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)  # of the equaliser
_FRAME_SECONDS = 0.02
_ACTIVE = 10 ** (-35 / 10)  # of the loudest frame's power
_LOUDEST = 0.99  # peak of a clip
_EARLY_FADE_SECONDS = 0.005
_FILTER_TAPS = 512  # the smooth filters are about as long: what they smear over the end does not come back at the start
_MU = 255.0
_CODEC_SECONDS, _CODEC_BAND_HZ = 0.032, 500.0
_BAND_HZ = 500.0  # the band of a recording is measured in steps of this,
_BAND_LEVEL, _BAND_SHARE = (
    10 ** (-108 / 10),
    1e-9,
)  # and has to pass quantisation to 16 bits (-115 dBFS a step at 48 kHz) and what a resampler leaves
_EDGE = 0.05  # a band limit goes from 1 to 0 within 5 % of its frequency on either side


class Conditions(NamedTuple):
    """Conditions of one clip. float32 scalars where nothing else is said; `draw_conditions` makes them of a recipe.

    Attributes:
        snr_db: Target to noise, each over its active frames.
        has_speech, has_noise: bool.
        level_dbfs: Of the noisy clip's active frames.
        speech_filter_db: [8]: gains at `BANDS_HZ`.
        noise_filter_db: [GROUPS, 8].
        noise_low_pass_hz: [GROUPS].
        low_pass_hz, high_pass_hz: Band of the recording; up to 0 and from half the rate on there is no limit.
        room: int32: index into the bank of rooms, -1 for none.
        clipping_db: The noisy clip is cut off this far below its peak; 0 does not.
        quantization_bits: 2^(bits - 1) steps from zero to the noisy clip's peak; 0 does not.
        companded: bool: through the 8-bit mu-law of telephony.
        codec_holes_db: In each frame and half kilohertz, bins this far below the loudest are gone; 0 does not.
        recorded_band: bool: noises end where the band of the speech ends.
        narrow_hz: Only the noisy clip ends here, the target does not; from half the rate on there is no limit.
        narrow_shape: [4], uniform on [0, 1): kind, steepness and ripple of that filter, and whether it lets images through.
    """

    snr_db: tf.Tensor
    has_speech: tf.Tensor
    has_noise: tf.Tensor
    level_dbfs: tf.Tensor
    speech_filter_db: tf.Tensor
    noise_filter_db: tf.Tensor
    noise_low_pass_hz: tf.Tensor
    low_pass_hz: tf.Tensor
    high_pass_hz: tf.Tensor
    room: tf.Tensor
    clipping_db: tf.Tensor
    quantization_bits: tf.Tensor
    companded: tf.Tensor
    codec_holes_db: tf.Tensor
    recorded_band: tf.Tensor
    narrow_hz: tf.Tensor
    narrow_shape: tf.Tensor


_CODEC_DRAWS, _NARROW_DRAWS = 3, 2 + NARROW_SHAPES  # the last ones: what is drawn before them stays as it was
CONDITION_DRAWS = 16 + len(BANDS_HZ) + GROUPS * (3 + len(BANDS_HZ)) + _CODEC_DRAWS + _NARROW_DRAWS


def conditions(
    snr_db: float = 10.0, level_dbfs: float = -25.0, *, has_speech: bool = True, has_noise: bool = True, room: int = -1, **others
) -> Conditions:
    """Conditions with nothing but what is named: no filter, no limit, no room."""
    values = {
        "speech_filter_db": tf.zeros(len(BANDS_HZ)),
        "noise_filter_db": tf.zeros([GROUPS, len(BANDS_HZ)]),
        "noise_low_pass_hz": tf.fill([GROUPS], np.float32(np.inf)),
        "low_pass_hz": np.inf,
        "high_pass_hz": 0.0,
        "clipping_db": 0.0,
        "quantization_bits": 0.0,
        "codec_holes_db": 0.0,
        "narrow_hz": np.inf,
        "narrow_shape": tf.zeros(NARROW_SHAPES),
    } | others
    companded, recorded_band = (tf.constant(bool(values.pop(name, False))) for name in ("companded", "recorded_band"))
    return Conditions(
        snr_db=tf.constant(snr_db, tf.float32),
        has_speech=tf.constant(has_speech),
        has_noise=tf.constant(has_noise),
        level_dbfs=tf.constant(level_dbfs, tf.float32),
        room=tf.constant(room, tf.int32),
        companded=companded,
        recorded_band=recorded_band,
        **{name: tf.convert_to_tensor(value, tf.float32) for name, value in values.items()},
    )


def draw_conditions(settings: Mixing, draws: tf.Tensor) -> Conditions:
    """Conditions of one clip.

    Args:
        settings: Probabilities and ranges.
        draws: float32 [CONDITION_DRAWS], uniform on [0, 1).
    """
    bands = len(BANDS_HZ)
    last = _CODEC_DRAWS + _NARROW_DRAWS
    scalars, rest, codec, narrow = tf.split(draws, [16, CONDITION_DRAWS - 16 - last, _CODEC_DRAWS, _NARROW_DRAWS])
    happens, value = scalars[:7], scalars[7:14]

    def limited(index: int, probability: float, limits: tuple[float, float], otherwise: float) -> tf.Tensor:
        return tf.where(happens[index] < probability, between(value[index], *limits), otherwise)

    groups = tf.reshape(rest[bands:], [GROUPS, 3 + bands])
    speech_gains = (2.0 * rest[:bands] - 1.0) * settings.speech_filter_db
    noise_gains = (2.0 * groups[:, 3:] - 1.0) * settings.noise_filter_db
    nothing = tf.constant(np.inf, tf.float32)
    return Conditions(
        snr_db=limited(0, settings.high_snr, settings.high_snr_db, between(scalars[14], *settings.snr_db)),
        has_speech=scalars[15] < 1.0 - settings.noise_only,
        has_noise=scalars[15] >= settings.clean,
        level_dbfs=between(value[1], *settings.level_dbfs),
        speech_filter_db=tf.where(happens[1] < settings.speech_filter, speech_gains, 0.0),
        noise_filter_db=tf.where(groups[:, 0:1] < settings.noise_filter, noise_gains, 0.0),
        noise_low_pass_hz=tf.where(groups[:, 1] < settings.noise_low_pass, between(groups[:, 2], *settings.low_pass_hz), nothing),
        low_pass_hz=limited(2, settings.low_pass, settings.low_pass_hz, nothing),
        high_pass_hz=limited(3, settings.high_pass, settings.high_pass_hz, 0.0),
        room=tf.cast(limited(4, settings.room, (0.0, float(settings.rooms)), -1.0), tf.int32),
        clipping_db=limited(5, settings.clipping, settings.clipping_db, 0.0),
        quantization_bits=limited(6, settings.quantization, settings.quantization_bits, 0.0),
        companded=codec[0] < settings.companding,
        codec_holes_db=tf.where(codec[1] < settings.codec, between(codec[2], *settings.codec_holes_db), 0.0),
        recorded_band=tf.constant(settings.recorded_band),
        narrow_hz=tf.where(narrow[0] < settings.narrow, between_octaves(narrow[1], *settings.narrow_hz), nothing),
        narrow_shape=narrow[2:],
    )


def mix(
    speech: tf.Tensor,
    noises: tf.Tensor,
    how: Conditions,
    sample_rate: int,
    rooms: tf.Tensor | np.ndarray | None = None,
    early_ms: float = 50.0,
) -> dict[str, tf.Tensor]:
    """One clip of speech and its noises to {"clean": float32 [samples], "noisy": the same}.

    Args:
        speech: float32 [samples], dry and clean.
        noises: float32 [GROUPS, samples]. What counts is their level against each other.
        how: The conditions.
        sample_rate: Hz.
        rooms: float32 [rooms, PLACES, taps]: `rooms.room_bank`. None has no rooms.
        early_ms: The target keeps the reflections up to here.

    Returns:
        `clean` is the target: zero where there is no speech. Both are at most .99. Where speech or noise is silent, the other is
        at the level that was asked for.

    Raises:
        ValueError: Speech or noises of another shape.
    """
    speech, noises = tf.cast(speech, tf.float32), tf.cast(noises, tf.float32)
    if speech.shape.rank != 1 or noises.shape.rank != 2 or noises.shape[0] != GROUPS:
        found = f"{tuple(speech.shape)} and {tuple(noises.shape)}"
        raise ValueError(
            f"the shapes of speech and noises are {found}; expected (samples,) and ({GROUPS}, samples): zeros for no second noise"
        )
    samples = speech.shape[0]

    def filtered(taps: int) -> tuple[int, tf.Tensor, tf.Tensor]:
        """The length of the transform, the spectrum of the speech, those of the noises."""
        size = good_fft_length(samples + taps)
        frequencies = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
        band = _band(frequencies, how.low_pass_hz, how.high_pass_hz, sample_rate)
        shape = _equalizer(frequencies)
        speech_spectrum = _spectrum(speech, size)
        limit = tf.cond(how.recorded_band, lambda: _recorded_band(speech, sample_rate), lambda: tf.constant(np.inf, tf.float32))
        recorded = _band(frequencies, limit, 0.0, sample_rate)
        speech_spectrum *= tf.cast(band * _gains(how.speech_filter_db, shape), tf.complex64)
        noise_spectra = []
        for group in range(GROUPS):
            own = _band(frequencies, how.noise_low_pass_hz[group], 0.0, sample_rate) * recorded
            gain = band * own * _gains(how.noise_filter_db[group], shape)
            noise_spectra.append(_spectrum(noises[group], size) * tf.cast(gain, tf.complex64))
        return size, speech_spectrum, tf.stack(noise_spectra)

    def dry() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        size, speech_spectrum, noise_spectra = filtered(min(samples, _FILTER_TAPS))
        clean = tf.signal.irfft(speech_spectrum, [size])[:samples]
        return clean, clean, tf.signal.irfft(tf.reduce_sum(noise_spectra, axis=0), [size])[:samples]

    def in_room() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        assert rooms is not None
        size, speech_spectrum, noise_spectra = filtered(rooms.shape[-1])
        responses = tf.gather(rooms, how.room)
        early = responses[0] * _early_window(rooms.shape[-1], early_ms, sample_rate)
        spectra = tf.signal.rfft(tf.concat([early[None], responses], 0), [size])
        noise = tf.reduce_sum(noise_spectra * spectra[2:], axis=0)
        back = tf.signal.irfft(tf.stack([speech_spectrum * spectra[0], speech_spectrum * spectra[1], noise]), [size])
        return back[0, :samples], back[1, :samples], back[2, :samples]

    clean, heard, noise = tf.cond(how.room >= 0, in_room, dry) if rooms is not None else dry()
    zero = tf.zeros([], tf.float32)
    speech_on, noise_on = tf.cast(how.has_speech, tf.float32), tf.cast(how.has_noise, tf.float32)
    speech_power, noise_power = active_power(clean, sample_rate) * speech_on, active_power(noise, sample_rate) * noise_on
    against = tf.where(speech_power > 0, speech_power / tf.pow(10.0, how.snr_db / 10.0), 1.0)
    noise_factor = tf.sqrt(tf.where(noise_power > 0, against / tf.maximum(noise_power, 1e-30), zero))
    clean, noisy = clean * speech_on, heard * speech_on + noise * noise_factor
    level = tf.sqrt(active_power(noisy, sample_rate))
    peak = tf.maximum(tf.reduce_max(tf.abs(noisy)), tf.reduce_max(tf.abs(clean)))
    factor = tf.minimum(
        tf.math.divide_no_nan(tf.pow(10.0, how.level_dbfs / 20.0), level),
        tf.math.divide_no_nan(_LOUDEST, peak),
    )
    noisy = tf.cond(how.narrow_hz < sample_rate / 2, lambda: narrowed(noisy, how.narrow_hz, how.narrow_shape, sample_rate), lambda: noisy)
    return {"clean": clean * factor, "noisy": _damaged(noisy * factor, how, sample_rate)}


def at_snr(clean: tf.Tensor, noise: tf.Tensor, snr_db: tf.Tensor | float, sample_rate: int) -> tf.Tensor:
    """clean + noise, the noise scaled to the ratio: float32 [..., samples] of signals of that shape; `snr_db` is [...] or a scalar.

    The ratio is that of the active frames, as in training. Nothing is limited: the sum may pass full scale.
    """
    clean, noise = tf.cast(clean, tf.float32), tf.cast(noise, tf.float32)  # a file that soundfile reads is float64
    ratio = active_power(clean, sample_rate) / tf.pow(10.0, tf.cast(snr_db, tf.float32) / 10.0)
    return clean + noise * tf.sqrt(tf.math.divide_no_nan(ratio, active_power(noise, sample_rate)))[..., None]


def active_power(audio: tf.Tensor, sample_rate: int) -> tf.Tensor:
    """Mean square over the 20 ms frames within 35 dB of the loudest: float32 [...] of [..., samples]; 0 for silence.

    Speech with pauses and a noise that is there for a moment so have the level at which they are heard.
    """
    size = max(1, min(round(_FRAME_SECONDS * sample_rate), audio.shape[-1]))
    whole = audio.shape[-1] // size
    frames = tf.reshape(audio[..., : whole * size], [*audio.shape[:-1], whole, size])
    power = tf.reduce_mean(tf.square(frames), axis=-1)
    active = power > _ACTIVE * tf.reduce_max(power, axis=-1, keepdims=True)
    return tf.math.divide_no_nan(tf.reduce_sum(tf.where(active, power, 0.0), axis=-1), tf.reduce_sum(tf.cast(active, tf.float32), axis=-1))


def _spectrum(audio: tf.Tensor, size: int) -> tf.Tensor:
    """The transform; of silence, such as a second noise that is not there, it is not computed."""
    return tf.cond(tf.reduce_any(audio != 0), lambda: tf.signal.rfft(audio, [size]), lambda: tf.zeros([size // 2 + 1], tf.complex64))


def _band(frequencies: np.ndarray, low_pass_hz: tf.Tensor, high_pass_hz: tf.Tensor | float, sample_rate: int) -> tf.Tensor:
    """Gains [..., bins] of a band limit without phase: within 5 % of a limit they go from 1 to 0 as a raised cosine would."""
    low_pass = tf.where(low_pass_hz < sample_rate / 2, low_pass_hz, 1e9)
    below = tf.clip_by_value(((1.0 + _EDGE) * low_pass - frequencies) / (2 * _EDGE * low_pass), 0.0, 1.0)
    high_pass = tf.convert_to_tensor(high_pass_hz, tf.float32)
    above = tf.clip_by_value((frequencies - 0.5 * high_pass) / tf.maximum(0.5 * high_pass, 1e-3), 0.0, 1.0)  # within an octave
    above = tf.where(high_pass > 0, above, tf.ones_like(above))
    return _smooth(below) * _smooth(above)


def _recorded_band(speech: tf.Tensor, sample_rate: int) -> tf.Tensor:
    """Return the frequency in Hz where a recording ends, float32 []; infinite if it reaches half the rate, or is silent.

    A voice stored at 48 kHz may end at 8 kHz. Full-band noise mixed with it would teach that all above 8 kHz is noise.
    """
    samples = speech.shape[0]
    bins = max(1, round(_BAND_HZ * samples / sample_rate))
    spectrum = tf.signal.rfft(speech * np.hanning(samples).astype(np.float32))  # a clip cut in a vowel would reach every band
    power = tf.square(tf.abs(spectrum)) * (2.0 / (0.375 * samples**2))  # mean squares
    steps = tf.reduce_sum(tf.reshape(tf.pad(power, [[0, -power.shape[0] % bins]]), [-1, bins]), axis=-1)
    heard = steps > tf.maximum(_BAND_LEVEL, _BAND_SHARE * tf.reduce_sum(steps))
    edge = tf.reduce_max(tf.where(heard, tf.range(1.0, steps.shape[0] + 1.0), 0.0)) * (bins * sample_rate / samples)
    return tf.where(tf.logical_and(edge > 0.0, edge < 0.9 * sample_rate / 2), edge, np.float32(np.inf))


def _smooth(ramp: tf.Tensor) -> tf.Tensor:
    return ramp * ramp * (3.0 - 2.0 * ramp)


def _equalizer(frequencies: np.ndarray) -> np.ndarray:
    """float32 [bands, bins]: how much each band's gain counts at each frequency, linear in octaves."""
    octaves = np.log2(np.clip(frequencies, BANDS_HZ[0], BANDS_HZ[-1]))
    knots = np.log2(BANDS_HZ)
    return np.stack([np.interp(octaves, knots, np.eye(len(knots))[k]) for k in range(len(knots))]).astype(np.float32)


def _gains(gains_db: tf.Tensor, shape: np.ndarray) -> tf.Tensor:
    """[..., bands] dB -> [..., bins]."""
    gains = gains_db[None] if gains_db.shape.rank == 1 else gains_db
    curves = tf.exp(tf.matmul(gains * float(np.log(10.0) / 20.0), shape))
    return curves[0] if gains_db.shape.rank == 1 else curves


def _early_window(taps: int, early_ms: float, sample_rate: int) -> np.ndarray:
    """float32 [taps]: 1 up to early_ms, then down to 0 within 5 ms."""
    place = np.arange(taps) / sample_rate - early_ms / 1000
    return (0.5 + 0.5 * np.cos(np.pi * np.clip(place / _EARLY_FADE_SECONDS, 0, 1))).astype(np.float32)


def _damaged(noisy: tf.Tensor, how: Conditions, sample_rate: int) -> tf.Tensor:
    """Clipped, quantised, and as a codec left it: what a device does, in its order."""
    peak = tf.reduce_max(tf.abs(noisy)) * tf.pow(10.0, -how.clipping_db / 20.0)
    noisy = tf.clip_by_value(noisy, -peak, peak)
    steps = tf.math.divide_no_nan(tf.round(tf.pow(2.0, how.quantization_bits - 1.0)), peak)
    rough = tf.math.divide_no_nan(tf.round(noisy * steps), steps)
    noisy = tf.where(how.quantization_bits > 0, rough, noisy)
    noisy = tf.cond(how.companded, lambda: _companded(noisy), lambda: noisy)
    return tf.cond(how.codec_holes_db > 0, lambda: _with_holes(noisy, how.codec_holes_db, sample_rate), lambda: noisy)


def _companded(audio: tf.Tensor) -> tf.Tensor:
    """8-bit mu-law (ITU-T G.711, its continuous curve): 127 steps from zero to full scale, fine near zero."""
    curve = tf.math.log1p(_MU * tf.minimum(tf.abs(audio), 1.0)) / float(np.log1p(_MU))
    return tf.sign(audio) * tf.math.expm1(tf.round(curve * 127.0) / 127.0 * float(np.log1p(_MU))) / _MU


def _with_holes(audio: tf.Tensor, below_db: tf.Tensor, sample_rate: int) -> tf.Tensor:
    """Return what a transform codec with few bits leaves: of each frame of 32 ms and each half kilohertz, the bins near its loudest one."""
    size = 2 * round(_CODEC_SECONDS * sample_rate / 2)
    group = max(1, round(_CODEC_BAND_HZ * size / sample_rate))
    samples = audio.shape[0]
    window = lambda length, dtype: tf.sqrt(tf.signal.hann_window(length, dtype=dtype))
    padded = tf.pad(audio, [[size // 2, size + size // 2]])
    spectrum = tf.signal.stft(padded, size, size // 2, size, window)
    bins = spectrum.shape[-1]
    power = tf.square(tf.abs(spectrum))
    groups = tf.reshape(tf.pad(power, [[0, 0], [0, -bins % group]]), [tf.shape(power)[0], -1, group])
    kept = groups >= tf.reduce_max(groups, axis=-1, keepdims=True) * tf.pow(10.0, -below_db / 10.0)
    kept = tf.reshape(tf.cast(kept, tf.complex64), [tf.shape(power)[0], -1])[:, :bins]
    back = tf.signal.inverse_stft(spectrum * kept, size, size // 2, size, window)
    return tf.ensure_shape(back[size // 2 : size // 2 + samples], [samples])
