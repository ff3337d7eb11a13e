"""Latent vectors: drawn so that clip i of seed s never changes, interpolated, varied, and kept in files.

Clip i of seed s reads the Philox stream whose 128-bit key is (s, i) (Salmon et al. 2011, "Parallel random numbers: as easy
as 1, 2, 3"): no clip depends on how many others are drawn, in which order, or in which process. The stream's raw bits are
turned into numbers here, because NumPy promises the bits of a bit generator for ever but not those of its distributions.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from ...errors import GanAudioError, UsageError
from ...files import load_array, write_bytes

MAX_SEED = 2**63 - 1  # what JSON readers and spreadsheets' int64 still hold
DISTRIBUTIONS = ("uniform", "normal")
METHODS = ("lerp", "slerp")
_PARALLEL = 1e-7  # sine of the angle below which two directions count as one line: below it the slerp weights lose all digits


def draw_latents(seed: int, indices: Iterable[int], dim: int, distribution: str, truncation: float | None = None) -> np.ndarray:
    """Draw the latents of some clips of a seed.

    Args:
        seed: 0 <= seed < 2^63.
        indices: Numbers of the clips, each 0 <= i < 2^63, in any order.
        dim: Length of a latent.
        distribution: "uniform" on [-1, 1], or "normal", N(0, 1).
        truncation: t cuts the distribution to [-t, t], which trades variety for typical clips (Brock et al. 2019, section
            3.1): uniform, 0 < t <= 1, becomes U(-t, t), which is z * t; normal, t > 0, becomes the normal distribution
            conditioned on |z| <= t, drawn through its inverse distribution function. Either way a clip changes smoothly
            with t and keeps its sign pattern.

    Returns:
        float32 [len(indices), dim].

    Raises:
        UsageError: A seed, truncation or distribution outside these ranges.
    """
    check_seed(seed)
    check_truncation(truncation, distribution)
    indices = list(indices)
    raw = np.empty((len(indices), dim), np.uint64)
    stream = np.random.Philox(key=np.array([seed, 0], np.uint64))
    start = stream.state
    for row, index in enumerate(indices):
        start["state"]["key"][1] = index  # a new Philox for each clip is the same, at ten times the cost
        stream.state = start
        raw[row] = stream.random_raw(dim)
    unit = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53  # 53 bits, centred in their cells: never 0 or 1
    if distribution == "uniform":
        return ((2.0 * unit - 1.0) * (1.0 if truncation is None else truncation)).astype(np.float32)
    if truncation is not None:
        below = ndtr(-truncation)
        unit = below + unit * (1.0 - 2.0 * below)
    return ndtri(unit).astype(np.float32)


def interpolate(start: np.ndarray, end: np.ndarray, steps: int, method: str, bound: float | None = None) -> np.ndarray:
    """Return `steps` latents from `start` to `end`, both included.

    Args:
        start, end: float32 [dim].
        steps: At least 2.
        method: "lerp" follows the straight line, "slerp" the great circle (White 2016); see `slerp`.
        bound: Clip to [-bound, bound]: a great circle between corners of the cube of a uniform latent leaves the cube,
            where the generator was never trained.

    Returns:
        float32 [steps, dim]; the first and last rows are `start` and `end` to the bit.

    Raises:
        UsageError: Fewer than two steps, or another method.
    """
    if steps < 2:
        raise UsageError(f"--steps is {steps}; expected at least 2: the two ends.")
    if method not in METHODS:
        raise UsageError(f"--method is {method!r}; expected lerp or slerp.")
    between = slerp if method == "slerp" else lerp
    path = np.stack([between(start, end, step / (steps - 1)) for step in range(steps)])
    if bound is not None:
        path = np.clip(path, -bound, bound)
    path[0], path[-1] = start, end
    return path


def grid(corners: Sequence[np.ndarray], steps: int, method: str, bound: float | None = None) -> np.ndarray:
    """Return the latents of a square between four corners, row by row from the top.

    Args:
        corners: Top left, top right, bottom left, bottom right: float32 [dim] each.
        steps: Rows, and columns; at least 2.
        method, bound: As for `interpolate`. "lerp" is the bilinear patch; "slerp" follows great circles, first down both sides, then
            across.

    Returns:
        float32 [steps * steps, dim]; it contains the corners to the bit.
    """
    top_left, top_right, bottom_left, bottom_right = corners
    left, right = interpolate(top_left, bottom_left, steps, method, bound), interpolate(top_right, bottom_right, steps, method, bound)
    return np.concatenate([interpolate(start, end, steps, method, bound) for start, end in zip(left, right, strict=True)])


def vary(mean: np.ndarray, fresh: np.ndarray, amount: float) -> np.ndarray:
    """Return sqrt(1 - amount^2) mean + amount fresh: between the latent of a recording and draws of the prior.

    Where means are spread over the recordings as the prior is, the result is so too, whatever the amount.

    Args:
        mean: float32 [dim], or [n, dim].
        fresh: float32 [n, dim], drawn from N(0, 1).
        amount: 0 gives `mean`, 1 `fresh`.

    Returns:
        float32 [n, dim].
    """
    kept = np.sqrt(max(0.0, 1.0 - float(amount) ** 2))
    return (kept * mean.astype(np.float64) + float(amount) * fresh.astype(np.float64)).astype(np.float32)


def read_latents(path: Path, dim: int) -> np.ndarray:
    """Read float32 [n, dim] from a .npy file that holds [dim] or [n, dim].

    Raises:
        UsageError: The file does not exist, is no .npy of numbers, has latents of another length, or numbers that are not finite.
    """
    hint = "generate RUN --save-latents writes such a file beside each clip"
    try:
        found = load_array(Path(path))
    except FileNotFoundError as error:
        raise UsageError(f"The latents {path} do not exist; expected a .npy file.", hint=hint) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as latents: {error}.", hint=hint) from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.ndim not in (1, 2) or found.size == 0:
        what = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else "an archive"
        raise UsageError(f"{path} holds {what}; expected numbers [{dim}] or [n, {dim}].", hint=hint)
    latents = np.atleast_2d(found).astype(np.float32)
    if latents.shape[1] != dim:
        raise UsageError(f"{path} holds latents of {latents.shape[1]} numbers; this model's have {dim}. Is it another model's?", hint=hint)
    if not np.isfinite(latents).all():
        raise UsageError(f"{path} holds numbers that are not finite.", hint=hint)
    return latents


def write_latents(path: Path, latents: np.ndarray) -> None:
    """Write float32 .npy in one step: the name never shows half a file. Not flushed: many are written beside clips.

    Raises:
        GanAudioError: It cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(latents, np.float32), allow_pickle=False)
    try:
        write_bytes(path, buffer.getvalue(), durable=False)
    except OSError as error:
        raise GanAudioError(f"{path} cannot be written: {error.strerror or error}.") from error


def lerp(start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
    """Interpolate along the straight line: (1 - f) start + f end, float32."""
    return ((1.0 - fraction) * start.astype(np.float64) + fraction * end.astype(np.float64)).astype(np.float32)


def slerp(start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
    """Interpolate the direction along the great circle and the length linearly: the length of a normal latent stays typical.

    Two latents of one direction (or one of them zero) fall back to `lerp`. Opposite ones have no unique great circle: the path
    then goes through a fixed perpendicular, that of the axis on which `start` is smallest.

    Args:
        start, end: float32 [dim].
        fraction: 0 (start) to 1 (end).

    Returns:
        float32 [dim], finite for every finite input.
    """
    a, b = start.astype(np.float64), end.astype(np.float64)
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if length_a == 0 or length_b == 0 or a.size < 2:
        return lerp(start, end, fraction)
    a, b = a / length_a, b / length_b
    cosine = float(a @ b)
    across = b - cosine * a
    sine = np.linalg.norm(across)
    if sine < _PARALLEL:
        if cosine > 0:
            return lerp(start, end, fraction)
        axis = int(np.argmin(np.abs(a)))
        across = -a[axis] * a
        across[axis] += 1.0
        sine = np.linalg.norm(across)
        angle = np.pi
    else:
        angle = np.arctan2(sine, cosine)
    direction = np.cos(fraction * angle) * a + np.sin(fraction * angle) * across / sine
    return (((1.0 - fraction) * length_a + fraction * length_b) * direction).astype(np.float32)


def check_seed(seed: int) -> None:
    """Raise UsageError unless 0 <= seed < 2^63."""
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"The seed is {seed}; expected a whole number from 0 to 2^63 - 1.")


def latent_bound(distribution: str, truncation: float | None) -> float | None:
    """Return the limit of an interpolation between latents: the cube that a uniform latent is drawn from; None: no limit."""
    return (truncation or 1.0) if distribution == "uniform" else None


def check_truncation(truncation: float | None, distribution: str) -> None:
    """Raise UsageError for an unknown distribution, or a truncation that it does not allow."""
    if distribution not in DISTRIBUTIONS:
        raise UsageError(f"The model draws its latents from {distribution!r}; this version knows {' and '.join(DISTRIBUTIONS)}.")
    if truncation is None:
        return
    if not np.isfinite(truncation) or truncation <= 0:
        raise UsageError(f"--truncation is {truncation}; expected a number above 0 (at 0 all clips would be one).")
    if distribution == "uniform" and truncation > 1:
        raise UsageError(f"--truncation is {truncation}; this model's latents are uniform on [-1, 1], so it is at most 1.")
