"""The network of a `DeepFilterDenoiser` in numpy: blocks of frames with a state, equal to frame by frame. No TensorFlow.

Arrays have the frames first: [frames, rows, bands, channels], a row being one stream of sound. Convolutions and linear layers are
matrix products over all frames of a block; only the recurrences go step by step. One second of audio takes 13 to 17 ms on one thread
(AMD EPYC with AVX-512), half of it in the recurrences; frame by frame 55 ms, because each step reads all weights from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...models.deep_filter_settings import DeepFilterSettings

_MAX_SINGLE_ROWS = 6  # up to here a product per row is faster than BLAS's product of so low a matrix


class Workspace:
    """Arrays that are used again from block to block: fresh ones of this size cost page faults, as much time as the products."""

    def __init__(self) -> None:
        self._flat: dict[str, np.ndarray] = {}

    def __call__(self, name: str, *shape: int) -> np.ndarray:
        """Return a float32 array of this shape with any content; the next call with the same name overwrites it."""
        size = int(np.prod(shape))
        flat = self._flat.get(name)
        if flat is None or flat.size < size:
            flat = self._flat[name] = np.empty(size, np.float32)
        return flat[:size].reshape(shape)


class NetworkState:
    """State of the network for `rows` streams: past features, past filter inputs, recurrent states; and its workspace."""

    def __init__(self, settings: DeepFilterSettings, rows: int):
        s = settings
        zeros = lambda *shape: np.zeros(shape, np.float32)
        self.rows = rows
        self.bands = zeros(2, rows, s.bands)
        self.bins = zeros(2, rows, s.filter_bins, 2)
        self.paths = zeros(5, 2 * s.filter_taps, 4, rows, s.filter_bins)
        self.hidden: dict[str, np.ndarray] = {}
        self.workspace = Workspace()


class Recurrence:
    """One gated recurrent unit, as `layers.deep_filter.FrameRecurrence`.

    A sigmoid is half a tanh of half its argument, plus a half; what is halved is halved once, in the weights: with z' = 2 z and r' = 2 r,
    h' = n + z' / 2 (h - n) and n = tanh(x_n + r' (h W_n + b_n) / 2).
    """

    def __init__(self, kernel: np.ndarray, recurrent_kernel: np.ndarray, bias: np.ndarray):
        units = self.units = len(recurrent_kernel)
        given = np.repeat(np.array([0.5, 0.5, 1.0], np.float32), units)
        self.kernel = kernel * given
        outside = bias[0].copy()
        outside[: 2 * units] += bias[1, : 2 * units]
        self.outside = outside * given
        self.recurrent = np.ascontiguousarray(recurrent_kernel * np.float32(0.5))
        self.inner_bias = bias[1, 2 * units :] * np.float32(0.5)

    def run(self, x: np.ndarray, h: np.ndarray, work: Workspace) -> np.ndarray:
        """Run x [frames, rows, inputs] from the state h [rows, units] -> [frames, rows, units]; the last frame is the next state."""
        frames, rows, _ = x.shape
        units = self.units
        inputs = np.matmul(x.reshape(frames * rows, -1), self.kernel, out=work("gru inputs", frames * rows, 3 * units))
        inputs += self.outside
        steps = inputs.reshape(frames, rows, 3 * units)
        outputs = np.empty((frames, rows, units), np.float32)
        if rows == 1:  # vectors: every axis more costs time in each of a dozen calls
            steps, h = steps[:, 0], h[0]
        self._loop(steps, h, outputs[:, 0] if rows == 1 else outputs)
        return outputs

    def _loop(self, steps: np.ndarray, h: np.ndarray, outputs: np.ndarray) -> None:
        units, one, half = self.units, np.float32(1.0), np.float32(0.5)
        recurrent, bias = self.recurrent, self.inner_bias
        product = np.empty(steps.shape[1:], np.float32)
        by_row = 1 < len(product) <= _MAX_SINGLE_ROWS and product.ndim == 2
        target = product[:, None] if by_row else product
        gates, inner = product[..., : 2 * units], product[..., 2 * units :]
        z, r = gates[..., :units], gates[..., units:]
        change = np.empty_like(h)
        multiply, add, subtract, tanh, matmul = np.multiply, np.add, np.subtract, np.tanh, np.matmul
        for step_gates, step_inner, after in zip(steps[..., : 2 * units], steps[..., 2 * units :], outputs, strict=True):
            matmul(h[:, None] if by_row else h, recurrent, out=target)
            add(gates, step_gates, out=gates)
            tanh(gates, out=gates)
            add(gates, one, out=gates)
            add(inner, bias, out=inner)
            multiply(inner, r, out=inner)
            add(inner, step_inner, out=inner)
            tanh(inner, out=inner)
            subtract(h, inner, out=change)
            multiply(change, z, out=change)
            multiply(change, half, out=change)
            add(inner, change, out=after)
            h = after


class DeepFilterNetwork:
    """The network, from features to mask and filters.

    Args:
        settings: Sizes.
        weights: float32 by path, as `DeepFilterDenoiser.named_weights` names them.
    """

    def __init__(self, settings: DeepFilterSettings, weights: Mapping[str, np.ndarray]):
        s = self.settings = settings
        self._w = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
        w = self._w
        self._erb_conv0 = np.concatenate([w["encoder/erb_conv0/kernel"].reshape(9, -1), w["encoder/erb_conv0/bias"][None]])
        self._df_conv0 = np.concatenate([_merged(w, "encoder/df_conv0").reshape(18, -1), w["encoder/df_conv0/bias"][None]])
        # [taps (frames), channels, values] -> [frames * values, channels]
        paths = _merged(w, "filter_decoder/df_convp")[:, 0]
        self._paths = np.ascontiguousarray(paths.transpose(0, 2, 1).reshape(-1, s.channels))
        self._recurrences = {
            name: Recurrence(*(w[f"{name}/{part}"] for part in ("kernel", "recurrent_kernel", "bias")))
            for name in sorted({name.rpartition("/")[0] for name in w if name.endswith("/recurrent_kernel")})
        }
        # The deep filter replaces the mask in the lowest bins. What only those bands need is not computed: everything below the
        # quarter-resolution band `_first`, whose outputs begin with the band before the first one that is heard.
        starts = np.concatenate([[0], np.cumsum(s.band_widths)])
        lowest = int(np.searchsorted(starts, s.filter_bins, side="right")) - 1
        self._first = max(0, min(lowest - 1, s.bands - 4)) // 4

    def initial_state(self, rows: int) -> NetworkState:
        """Return the state before the first frame of `rows` independent streams."""
        return NetworkState(self.settings, rows)

    @property
    def first_band(self) -> int:
        """First band whose gain is computed; those below lie under the deep filter."""
        return 4 * self._first + (1 if self._first else 0)

    def run(self, bands: np.ndarray, bins: np.ndarray, state: NetworkState) -> tuple[np.ndarray, np.ndarray]:
        """Run a block of frames.

        Args:
            bands: float32 [frames, rows, bands], normalised levels.
            bins: float32 [frames, rows, filter bins, 2], normalised real and imaginary parts.
            state: From `initial_state` or the last block; updated in place.

        Returns:
            (mask, taps): the mask float32 [frames, rows, bands], 1 below `first_band`; the taps float32 [2 filter_taps, frames, rows,
            filter bins], real and imaginary part of the oldest frame first. Both may be overwritten by the next call.
        """
        work = state.workspace
        skips = self._band_encoder(bands, state, work)
        paths, from_bins = self._bin_encoder(bins, state, work)
        combined = skips[3].reshape(*bands.shape[:2], -1) + from_bins
        embedding = self._linear("encoder/linear_out", self._recurrent("encoder", combined, state), relu=True)
        mask = self._band_decoder(embedding, skips, state, work)
        return mask, self._filter_decoder(embedding, paths, state, work)

    # Encoder.

    def _band_encoder(self, bands, state, work):
        """The four skip connections [frames, rows, bands / (1, 2, 4, 4), channels]."""
        s, (frames, rows, count) = self.settings, bands.shape
        past = np.zeros((frames + 2, rows, count + 2), np.float32)
        past[:2, :, 1:-1], past[2:, :, 1:-1] = state.bands, bands
        state.bands = past[-2:, :, 1:-1].copy()
        columns = work("band columns", frames, rows, count, 10)
        for tap in range(3):
            for offset in range(3):
                columns[..., 3 * tap + offset] = past[tap : tap + frames, :, offset : offset + count]
        columns[..., 9] = 1
        e0 = _product(columns, self._erb_conv0, work("e0", frames, rows, count, s.channels))
        np.maximum(e0, 0, out=e0)
        e1 = self._frequency("encoder/erb_conv1", e0, 2, work, "e1")
        e2 = self._frequency("encoder/erb_conv2", e1, 2, work, "e2")
        return e0, e1, e2, self._frequency("encoder/erb_conv3", e2, 1, work, "e3")

    def _bin_encoder(self, bins, state, work):
        """(inputs of the filter decoder's path [5, values, frames, rows, bins], what the embedding gets [frames, rows, units])."""
        s, (frames, rows, count, _) = self.settings, bins.shape
        past = np.zeros((frames + 2, rows, count + 2, 2), np.float32)
        past[:2, :, 1:-1], past[2:, :, 1:-1] = state.bins, bins
        state.bins = past[-2:, :, 1:-1].copy()
        columns = work("bin columns", frames, rows, count, 19)
        flat = past.reshape(frames + 2, rows, -1)
        near = np.lib.stride_tricks.sliding_window_view(flat, 6, axis=2)[:, :, ::2]  # three bins of two values
        for tap in range(3):
            columns[..., 6 * tap : 6 * tap + 6] = near[tap : tap + frames]
        columns[..., 18] = 1
        c0 = _product(columns, self._df_conv0, work("c0", frames, rows, count, s.channels))
        np.maximum(c0, 0, out=c0)
        # Five frames times ten values for each bin, values first: what follows runs over long rows.
        paths = work("paths", 5 * 2 * s.filter_taps, frames * rows * count)
        np.matmul(self._paths, c0.reshape(-1, s.channels).T, out=paths)
        c1 = self._frequency("encoder/df_conv1", c0, 2, work, "c1")
        embedded = self._linear("encoder/df_fc_emb", c1.reshape(frames, rows, -1), relu=True)
        return paths.reshape(5, 2 * s.filter_taps, frames, rows, count), embedded

    # Decoders.

    def _band_decoder(self, embedding, skips, state, work):
        s, (frames, rows) = self.settings, embedding.shape[:2]
        first = self._first
        z = self._linear("band_decoder/linear_out", self._recurrent("band_decoder", embedding, state), relu=True)
        z = z.reshape(frames, rows, s.bands // 4, s.channels)
        below = max(0, first - 1)  # the convolution of stride 1 sees one band more
        x = self._gained("conv3p", skips[3][:, :, below:], work)
        x += z[:, :, below:]
        x = self._frequency("band_decoder/convt3", x, 1, work, "t3")[:, :, first - below :]
        for layer, gain, skip, scale in (("convt2", "conv2p", 2, 1), ("convt1", "conv1p", 1, 2)):
            y = self._gained(gain, skips[skip][:, :, scale * first :], work)
            y += x
            x = self._upsampled(f"band_decoder/{layer}", y, work)
        y = self._gained("conv0p", skips[0][:, :, 4 * first :], work)
        y += x
        kernel = self._w["band_decoder/conv0_out/kernel"][0, :, :, 0]  # [3, channels]
        low, here, high = (y.reshape(-1, s.channels) @ kernel.T).T.reshape(3, frames, rows, -1)
        here = here + self._w["band_decoder/conv0_out/bias"]
        here[:, :, 1:] += low[:, :, :-1]
        here[:, :, :-1] += high[:, :, 1:]
        mask = np.ones((frames, rows, s.bands), np.float32)
        used = here[:, :, 1:] if first else here  # the lowest lacks its neighbour
        mask[:, :, self.first_band :] = 0.5 + 0.5 * np.tanh(0.5 * used)
        return mask

    def _filter_decoder(self, embedding, paths, state, work):
        s, (frames, rows) = self.settings, embedding.shape[:2]
        x = self._recurrent("filter_decoder", embedding, state)
        x = x + self._linear("filter_decoder/df_skip", embedding)
        out = self._linear("filter_decoder/df_out", x)
        np.tanh(out, out=out)
        history = np.concatenate([state.paths, paths], axis=2)
        taps = history[0, :, :frames].copy()
        for tap in range(1, 5):
            taps += history[tap, :, tap : tap + frames]
        state.paths = history[:, :, frames:].copy()
        taps += self._w["filter_decoder/df_convp/bias"][:, None, None, None]
        np.maximum(taps, 0, out=taps)
        taps += out.reshape(frames, rows, s.filter_bins, -1).transpose(3, 0, 1, 2)
        return taps

    # Layers.

    def _recurrent(self, part, x, state):
        """[frames, rows, embedding] -> [frames, rows, hidden]."""
        x = self._linear(f"{part}/linear_in", x, relu=True)
        for name, layer in self._recurrences.items():
            if name.startswith(part):
                h = state.hidden.get(name)
                x = layer.run(x, np.zeros((x.shape[1], layer.units), np.float32) if h is None else h, state.workspace)
                state.hidden[name] = x[-1].copy()
        return x

    def _linear(self, name: str, x: np.ndarray, relu: bool = False) -> np.ndarray:
        """`GroupedLinear` on [frames, rows, inputs]."""
        kernel = self._w[f"{name}/kernel"]
        groups, n, _ = kernel.shape
        y = np.matmul(x.reshape(-1, groups, n).swapaxes(0, 1), kernel)
        if relu:
            np.maximum(y, 0, out=y)
        return np.ascontiguousarray(y.swapaxes(0, 1)).reshape(*x.shape[:2], -1)

    def _frequency(self, name: str, x: np.ndarray, stride: int, work: Workspace, key: str) -> np.ndarray:
        """`FrequencyConvolution`, not transposed."""
        low, here, high = self._w[f"{name}/kernel"]
        frames, rows, bands, channels = x.shape
        mixed, part = (work(kind, frames, rows, bands // stride, channels) for kind in ("mixed", "part"))
        if stride == 1:
            np.multiply(x, here, out=mixed)
            mixed[:, :, :-1] += np.multiply(x[:, :, 1:], high, out=part[:, :, 1:])
            mixed[:, :, 1:] += np.multiply(x[:, :, :-1], low, out=part[:, :, 1:])
        else:
            odd = x[:, :, 1::2]
            np.multiply(x[:, :, ::2], here, out=mixed)
            mixed += np.multiply(odd, high, out=part)
            mixed[:, :, 1:] += np.multiply(odd[:, :, :-1], low, out=part[:, :, 1:])
        return self._mixed(name, mixed, work, key)

    def _upsampled(self, name: str, x: np.ndarray, work: Workspace) -> np.ndarray:
        """`FrequencyConvolution`, transposed."""
        low, here, high = self._w[f"{name}/kernel"]
        frames, rows, bands, channels = x.shape
        mixed, part = work("mixed", frames, rows, 2 * bands, channels), work("part", frames, rows, bands, channels)
        np.multiply(x, here, out=mixed[:, :, ::2])
        odd = mixed[:, :, 1::2]
        np.multiply(x, high, out=odd)
        odd[:, :, :-1] += np.multiply(x[:, :, 1:], low, out=part[:, :, 1:])
        return self._mixed(name, mixed, work, name)

    def _mixed(self, name: str, mixed: np.ndarray, work: Workspace, key: str) -> np.ndarray:
        y = _product(mixed, self._w[f"{name}/pointwise"], work(key, *mixed.shape))
        y += self._w[f"{name}/bias"]
        return np.maximum(y, 0, out=y)

    def _gained(self, name: str, x: np.ndarray, work: Workspace) -> np.ndarray:
        """`ChannelGain`."""
        y = np.multiply(x, self._w[f"band_decoder/{name}/gain"], out=work("gained", *x.shape))
        y += self._w[f"band_decoder/{name}/bias"]
        return np.maximum(y, 0, out=y)


def _product(x: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> np.ndarray:
    """[..., n] times [n, m] into `out` [..., m]."""
    np.matmul(x.reshape(-1, len(kernel)), kernel, out=out.reshape(-1, kernel.shape[1]))
    return out


def _merged(weights: Mapping[str, Any], name: str) -> np.ndarray:
    """The grouped kernel of a `CausalConvolution` and its pointwise one as a plain one, [frames, bins, channels, filters]."""
    kernel, mixing = weights[f"{name}/kernel"], weights[f"{name}/pointwise"]
    taps, bins, width, filters = kernel.shape
    groups = 2
    whole = np.zeros((taps, bins, groups, width, filters), np.float32)
    for group in range(groups):
        own = slice(group * filters // groups, (group + 1) * filters // groups)
        whole[:, :, group] = kernel[..., own] @ mixing[own]
    return whole.reshape(taps, bins, groups * width, filters)
