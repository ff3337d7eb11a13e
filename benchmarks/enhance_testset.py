"""The development test set of `enhance_quality.py`: held-out voices in held-out noises, mixed the same way every time.

Everything is a pure function of the recordings, the seed and the number of the mixture; nothing is written to disk. Shares no
code with the mixing that models are trained with, so that a mistake there cannot hide here.

Every utterance of the dialogue carries the game's reverberation (60 dB in about a second), which no clean target should have:
its tails are cut by a gate, what sounds on below the speech stays. The audio book has a background at -35 dB. Only `carlo` is
dry and quiet throughout; figures are given for each voice.

A mixture is 4 to 8 s at 16 kHz: whole utterances of one voice with pauses of 0.25 s, a noise joined from several recordings of
one kind, and an SNR of 0, 5, 10 or 15 dB: level of the speech while it is active (`active_power`) over the mean level of the
noise. The speech is at -20 to -32 dBFS; a mixture that would clip is turned down, target included. One mixture of four has its speech
in a room (shoebox, 0.5 to 2 m away, image sources up to 0.12 s and a diffuse tail, RT60 0.2 to 0.8 s), with the direct sound and the
first 50 ms of reflections as target, aligned to the direct sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import held_out
import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from gansynth_cli.data.audio import audio_file
from gansynth_cli.metrics.pairs.waveform import active_power, mixed_snr

RATE = 16000
SNRS = (0, 5, 10, 15)
VOICES = ("carlo", "small fish", "carlo", "big fish", "librivox", "carlo", "small fish", "librivox", "carlo", "big fish")
_CLEAN_FLOOR_DB = -55  # quietest against loudest frames; librivox has no such recording and is taken as it is
_SPEED_OF_SOUND = 343.0


@dataclass
class Mixture:
    """One test item, float32 [samples] at 16 kHz. `clean` is the target: what a perfect system would give back."""

    name: str
    noisy: np.ndarray
    clean: np.ndarray
    snr: int
    voice: str
    noise: str
    room: bool


class TestSet:
    """Draws from the held-out recordings below `data`."""

    __test__ = False  # for pytest: not a test case

    def __init__(self, data: Path, seed: int = 0):
        self.data, self.seed = data, seed
        dialogue = held_out.files(data, ("speech/dialogue-nl/*",))
        self._voices = {
            "small fish": [path for path in dialogue if _letter(path) == "m"],
            "big fish": [path for path in dialogue if _letter(path) == "v"],
            "carlo": [path for path in held_out.files(data, ("speech/prompts-it/*",)) if path.stat().st_size > 60_000],
            "librivox": held_out.files(data, ("speech/librivox/*",)),
        }
        self._noises = {"city": held_out.files(data, held_out.NOISE_CITY), "wide": held_out.files(data, held_out.NOISE_WIDE)}
        for name, found in {**self._voices, **self._noises}.items():
            if not found:
                raise SystemExit(f"no recordings of {name} below {data}: expected the folders that held_out.py names")

    def mixture(self, index: int) -> Mixture:
        """Mixture number `index`; SNR, voice, kind of noise and room go round in turn, so any first 40 are balanced."""
        group, rng = index // len(SNRS), self._rng(0, index)
        snr, voice = SNRS[index % len(SNRS)], VOICES[group % len(VOICES)]
        noise, room = ("wide" if group % 3 == 2 else "city"), (group + index) % 4 == 3
        target = speech = self._speech(voice, rng)
        if room:
            whole, early = room_response(rng, rt60=rng.uniform(0.2, 0.8))
            speech, target = (fftconvolve(target, response)[: len(target)] for response in (whole, early))
        target, speech = _at_level(target, speech, rng.uniform(-32, -20))
        background = self._noise(noise, len(target), rng)
        background *= np.sqrt(active_power(speech, RATE) / np.mean(background**2) / 10 ** (snr / 10))
        noisy = speech + background
        peak = np.abs(noisy).max()
        scale = min(1.0, 0.99 / peak)
        name = f"{index:03d}-{snr:02d}dB-{voice.replace(' ', '')}-{noise}{'-room' if room else ''}"
        return Mixture(name, np.float32(noisy * scale), np.float32(target * scale), snr, voice, noise, room)

    def clean(self, index: int, voice: str = "carlo") -> np.ndarray:
        """Speech without noise, -26 dBFS; of the fish, it carries what the gate leaves of the game's reverberation."""
        speech = self._speech(voice, self._rng(1, index))
        return np.float32(_at_level(speech, speech, -26.0)[0])

    def noise(self, index: int) -> np.ndarray:
        """Noise without speech, 5 s, -30 dBFS."""
        noise = self._noise("wide" if index % 3 == 2 else "city", 5 * RATE, self._rng(2, index))
        return np.float32(noise * 10 ** (-30 / 20) / np.sqrt(np.mean(noise**2)))

    def music(self, index: int) -> np.ndarray:
        """Eight seconds of music, -20 dBFS."""
        files = sorted(self.data.glob("music/**/*.flac"))
        audio = _load(files[index % len(files)])
        start = int(self._rng(3, index).integers(0, len(audio) - 8 * RATE))
        part = audio[start : start + 8 * RATE]
        return np.float32(part * 0.1 / np.sqrt(np.mean(part**2)))

    def reverberant(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Speech in a room of RT60 0.8 to 1.0 s without noise, and its target."""
        rng = self._rng(4, index)
        speech = np.pad(self._speech("carlo", rng), (0, RATE // 2))
        whole, early = room_response(rng, rt60=rng.uniform(0.8, 1.0))
        wet, target = (fftconvolve(speech, response)[: len(speech)] for response in (whole, early))
        target, wet = _at_level(target, wet, -26.0)
        return np.float32(wet), np.float32(target)

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def _speech(self, voice: str, rng: np.random.Generator) -> np.ndarray:
        """4 to 8 s of one voice: utterances joined by pauses, from the first sound of the first to the end of the last."""
        files, parts, length, target = self._voices[voice], [], 0, rng.uniform(4, 8) * RATE
        while length < 4 * RATE:
            audio = _load(files[rng.integers(len(files))])
            audio = _gated(audio) if voice in ("small fish", "big fish") else audio
            if (voice != "librivox" and _floor_db(audio) > _CLEAN_FLOOR_DB) or len(audio) < RATE // 2:
                continue
            if parts:
                audio = audio * np.sqrt(active_power(parts[0], RATE) / active_power(audio, RATE))
                parts.append(np.zeros(RATE // 4))
                length += RATE // 4
            room_left = int(max(target - length, RATE))
            if len(audio) > room_left:
                audio = audio[:room_left].copy()
                audio[-400:] *= np.linspace(1, 0, 400)
            parts.append(audio)
            length += len(audio)
        return np.concatenate(parts)

    def _noise(self, kind: str, samples: int, rng: np.random.Generator) -> np.ndarray:
        """Recordings of one kind joined by cross-fades of 50 ms; long enough ones start anywhere."""
        files, fade = self._noises[kind], RATE // 20
        ramp = np.sin(np.linspace(0, np.pi / 2, fade))
        noise = np.zeros(0)
        while len(noise) < samples:
            audio = _load(files[rng.integers(len(files))]).astype(np.float64)
            if len(audio) < 4 * fade or np.mean(audio**2) < 1e-8:
                continue
            audio = np.roll(audio, -int(rng.integers(len(audio)))) if kind == "city" else audio  # city: steady scenes
            audio = audio / np.sqrt(np.mean(audio**2))
            if len(noise):
                audio[:fade] *= ramp
                noise[-fade:] = noise[-fade:] * ramp[::-1] + audio[:fade]
                audio = audio[fade:]
            noise = np.concatenate([noise, audio])
        start = int(rng.integers(len(noise) - samples + 1))
        return noise[start : start + samples]


class SplitSet:
    """Mixtures of a prepared data set, as its recipe mixes them for training, but always the same: for choosing between models.

    Its voices and noises are those of the split, so of the validation split models have heard neither; but the kinds are those of the
    training data. Mixtures whose target is silent (noise alone) and those without noise (60 dB and more) are left out.

    Args:
        data: A data set with noise splits.
        split: "validation", say.
        recipe: Name or path of the recipe whose `[data.mixing]` says how to mix.
        count: Number of mixtures.
        seed: Decides them.
    """

    def __init__(self, data: Path, split: str, recipe: str, count: int, seed: int = 0):
        from gansynth_cli.data.dataset_info import read_dataset_info
        from gansynth_cli.data.pipeline import open_source
        from gansynth_cli.recipe import load_recipe

        info = read_dataset_info(data)
        settings = load_recipe(recipe, [f"data.clip_samples={info.clip_samples}", f"data.sample_rate={info.sample_rate}"])
        if info.sample_rate != RATE:
            raise SystemExit(f"{data} holds recordings at {info.sample_rate} Hz; expected {RATE}")
        batches = open_source(data, settings).batches(settings, split, seed=seed, batch_size=16, augment=False)
        self._mixtures: list[Mixture] = []
        for batch in batches:
            for noisy, clean in zip(batch["noisy"].numpy()[..., 0], batch["clean"].numpy()[..., 0], strict=True):
                if np.abs(clean).max() < 1e-4 or len(self._mixtures) >= count:
                    continue
                exact = mixed_snr(clean, noisy, RATE)
                if exact < 60:
                    name, snr = f"{len(self._mixtures):03d}-{exact:.1f}dB", int(np.clip(5 * round(exact / 5), -5, 25))
                    self._mixtures.append(Mixture(name, noisy, clean, snr, split, "as mixed", False))
            if len(self._mixtures) >= count:
                break

    def mixture(self, index: int) -> Mixture:
        return self._mixtures[index]

    def __len__(self) -> int:
        return len(self._mixtures)


def room_response(rng: np.random.Generator, rt60: float, early_seconds: float = 0.050) -> tuple[np.ndarray, np.ndarray]:
    """The response of a random shoebox room, and its first part: (whole, early), both starting with the direct sound at sample 0.

    Image sources (Allen and Berkley 1979) with one absorption for all walls (Eyring's formula) up to 0.12 s, to the nearest sample;
    later a Gaussian tail that decays by 60 dB in `rt60` and joins at the level of the image sources' last 20 ms.
    """
    size = rng.uniform((3.0, 3.0, 2.4), (8.0, 6.0, 3.5))
    source = rng.uniform(0.6, size - 0.6)
    direction = rng.standard_normal(3) * (1, 1, 0.3)
    listener = np.clip(source + direction / np.linalg.norm(direction) * rng.uniform(0.5, 2.0), 0.3, size - 0.3)
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    reflection = np.sqrt(np.exp(-0.161 * volume / (surface * rt60)))
    direct = max(float(np.linalg.norm(source - listener)), 0.2)
    reach = 0.12 * _SPEED_OF_SOUND + direct
    axes = []
    for length, s, r in zip(size, source, listener, strict=True):
        n = np.arange(-int(np.ceil(reach / (2 * length))) - 1, int(np.ceil(reach / (2 * length))) + 2)
        offset = np.concatenate([2 * n * length + s - r, 2 * n * length - s - r])
        bounces = np.concatenate([np.abs(2 * n), np.abs(2 * n - 1)])
        axes.append((offset, bounces))
    (x, bx), (y, by), (z, bz) = axes
    distance = np.sqrt(x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2).ravel()
    bounces = (bx[:, None, None] + by[None, :, None] + bz[None, None, :]).ravel()
    near = distance <= reach
    distance, bounces = distance[near], bounces[near]
    head = int(0.12 * RATE)
    response = np.zeros(max(head + 1, int(1.2 * rt60 * RATE)))
    position = np.rint((distance - direct) / _SPEED_OF_SOUND * RATE).astype(int)
    gain = reflection**bounces * direct / np.maximum(distance, 0.1)
    inside = (position >= 0) & (position < head)
    np.add.at(response, position[inside], gain[inside])
    # All images are positive, so their density is a loud rumble; a room has none.
    response = sosfilt(butter(2, 80, "highpass", fs=RATE, output="sos"), response)
    late = np.arange(len(response) - head) / RATE
    level = np.sqrt(np.mean(response[head - RATE // 50 : head] ** 2))
    response[head:] = level * rng.standard_normal(len(late)) * 10 ** (-3 * late / rt60)
    early = response[: int(early_seconds * RATE)].copy()
    fade = RATE // 200
    early[-fade:] *= np.linspace(1, 0, fade)
    return response, early


def _at_level(target: np.ndarray, other: np.ndarray, level_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Both scaled by the same gain, which brings the target's active level to `level_db`."""
    gain = 10 ** (level_db / 20) / np.sqrt(active_power(target, RATE))
    return target * gain, other * gain


@lru_cache(maxsize=512)
def _load(path: Path) -> np.ndarray:
    audio, _ = audio_file.read(path, sample_rate=RATE, channels=1)
    return audio[:, 0]


def _gated(audio: np.ndarray, range_db: float = 32.0) -> np.ndarray:
    """Without what is more than `range_db` below the loudest frame (16 ms): open from 32 ms before to 48 ms after, ramps of 16 ms."""
    frames = len(audio) // 256
    level = 10 * np.log10(np.square(audio[: frames * 256]).reshape(frames, 256).mean(axis=1) + 1e-12)
    is_open = np.convolve(level > level.max() - range_db, np.ones(6), "full")[2 : 2 + frames] > 0
    gain = np.interp(np.arange(len(audio)), np.arange(frames) * 256 + 128, is_open.astype(float), left=0.0, right=0.0)
    sounding = np.flatnonzero(gain > 0)
    return (audio * gain)[sounding[0] : sounding[-1] + 1] if len(sounding) else audio


def _floor_db(audio: np.ndarray) -> float:
    """Median level of the quietest twentieth of the frames (32 ms), relative to that of the loudest."""
    frames = len(audio) // 512
    level = np.sort(10 * np.log10(np.square(audio[: frames * 512]).reshape(frames, 512).mean(axis=1) + 1e-10))
    part = max(1, frames // 20)
    return float(np.median(level[:part]) - np.median(level[-part:]))


def _letter(path: Path) -> str:
    parts = path.stem.replace("_", "-").split("-")
    return next((letter for letter in ("m", "v") if letter in parts), "")
