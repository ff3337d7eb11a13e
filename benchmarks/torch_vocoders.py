"""The generators of `vocoder_speed.py` in PyTorch: the same layers and sizes, kernels folded, as an inference script would use them. A
process of its own, so that the two libraries' threads do not meet.

Reads JSON lines. `{"kind": "melgan" | "hifigan" | "vocos", ...sizes, "mel": {...}}` builds a generator with random weights and answers
`{"weights": N}`; `{"frames": [n, ...]}` makes sound of random mel spectrograms of those lengths, and answers `{"seconds": of processor
time, "samples": N}`.
"""

from __future__ import annotations

import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class MelGANResidual(nn.Module):
    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.shortcut = nn.Conv1d(width, width, 1)
        self.body = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.ReflectionPad1d(dilation),
            nn.Conv1d(width, width, 3, dilation=dilation),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x):
        return self.shortcut(x) + self.body(x)


class MelGAN(nn.Module):
    def __init__(self, o: dict):
        super().__init__()
        width, bands = o["channels"], o["bands"]
        layers: list[nn.Module] = [nn.ReflectionPad1d(3), nn.Conv1d(o["mel"]["bands"], width, 7)]
        for factor in o["upsample"]:
            odd = factor % 2
            layers += [nn.LeakyReLU(0.2), nn.ConvTranspose1d(width, width // 2, 2 * factor, factor, factor // 2 + odd, odd)]
            width //= 2
            layers += [MelGANResidual(width, dilation) for dilation in o["dilations"]]
        layers += [nn.LeakyReLU(0.2), nn.ReflectionPad1d(3), nn.Conv1d(width, bands, 7), nn.Tanh()]
        self.network = nn.Sequential(*layers)
        self.bands = bands
        if bands > 1:  # the filter bank: one transposed convolution, as PyTorch programs have it
            self.register_buffer("filters", torch.randn(bands, 1, o["filter_taps"]))

    def forward(self, mel):
        x = self.network(mel)
        if self.bands == 1:
            return x
        return F.conv_transpose1d(
            x, self.filters, stride=self.bands, padding=(self.filters.shape[-1] - 1) // 2, output_padding=self.bands - 1
        )


class HiFiGANBranch(nn.Module):
    def __init__(self, width: int, kernel: int, dilations: list[int], block: int):
        super().__init__()
        conv = lambda dilation: nn.Conv1d(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2))
        self.first = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.second = nn.ModuleList(conv(1) for _ in dilations) if block == 1 else None

    def forward(self, x):
        for i, first in enumerate(self.first):
            inside = first(F.leaky_relu(x, 0.1))
            if self.second is not None:
                inside = self.second[i](F.leaky_relu(inside, 0.1))
            x = x + inside
        return x


class HiFiGAN(nn.Module):
    def __init__(self, o: dict):
        super().__init__()
        width = o["channels"]
        self.first = nn.Conv1d(o["mel"]["bands"], width, 7, padding=3)
        self.ups, self.branches = nn.ModuleList(), nn.ModuleList()
        for factor, kernel in zip(o["upsample"], o["upsample_kernels"], strict=True):
            self.ups.append(nn.ConvTranspose1d(width, width // 2, kernel, factor, (kernel - factor) // 2))
            width //= 2
            stage = [HiFiGANBranch(width, taps, steps, o["block"]) for taps, steps in zip(o["kernels"], o["dilations"], strict=True)]
            self.branches.append(nn.ModuleList(stage))
        self.last = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mel):
        x = self.first(mel)
        for up, stage in zip(self.ups, self.branches, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(branch(x) for branch in stage) / len(stage)
        return torch.tanh(self.last(F.leaky_relu(x)))


class ConvNeXt(nn.Module):
    def __init__(self, width: int, hidden: int, blocks: int):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.wide, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 1 / blocks))

    def forward(self, x):  # [batch, channels, frames]
        inside = self.norm(self.depthwise(x).transpose(1, 2))
        inside = self.scale * self.narrow(F.gelu(self.wide(inside)))
        return x + inside.transpose(1, 2)


class Vocos(nn.Module):
    def __init__(self, o: dict):
        super().__init__()
        mel, width = o["mel"], o["channels"]
        self.fft, self.hop, self.most, self.centre = mel["fft"], mel["hop"], o["most_magnitude"], mel["padding"] == "centre"
        self.first = nn.Conv1d(mel["bands"], width, 7, padding=3)
        self.norm_first, self.norm_last = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.Sequential(*(ConvNeXt(width, o["hidden"], o["blocks"]) for _ in range(o["blocks"])))
        self.head = nn.Linear(width, self.fft + 2)
        self.register_buffer("window", torch.hann_window(self.fft))
        self.register_buffer("inverse", torch.randn(self.fft // 2 + 1, mel["bands"]) if o["prior"] == "pseudo-inverse" else None)

    def forward(self, mel):
        x = self.norm_first(self.first(mel).transpose(1, 2)).transpose(1, 2)
        x = self.head(self.norm_last(self.blocks(x).transpose(1, 2))).transpose(1, 2)
        magnitude, phase = x.chunk(2, dim=1)
        if self.inverse is not None:
            magnitude = magnitude + torch.log((self.inverse @ mel.exp()).abs() + 1e-3)
        magnitude = torch.exp(magnitude).clamp(max=self.most)
        frames = mel.shape[-1]
        pieces = torch.fft.irfft(torch.polar(magnitude, phase), self.fft, dim=1) * self.window[None, :, None]
        length = (frames - 1) * self.hop + self.fft
        fold = lambda values: F.fold(values, (1, length), (1, self.fft), stride=(1, self.hop))[:, 0, 0]
        audio = fold(pieces) / fold(self.window.square()[None, :, None].expand(1, -1, frames)).clamp(min=1e-10)
        front = self.fft // 2 if self.centre else (self.fft - self.hop) // 2
        return F.pad(audio[:, front : front + frames * self.hop], (0, max(0, frames * self.hop + front - length)))[:, None]


KINDS = {"melgan": MelGAN, "hifigan": HiFiGAN, "vocos": Vocos}


def main() -> None:
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)  # as TensorFlow does
    torch.manual_seed(0)
    print(json.dumps({"torch": torch.__version__}), flush=True)
    network, mel = None, {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "kind" in asked:
            network, mel = KINDS[asked["kind"]](asked).eval(), asked["mel"]
            print(json.dumps({"weights": sum(p.numel() for p in network.parameters())}), flush=True)
            continue
        assert network is not None
        pieces = [torch.empty(1, mel["bands"], frames).uniform_(math.log(1e-5), 0.0) for frames in asked["frames"]]
        samples, started = 0, time.process_time()
        with torch.inference_mode():
            for piece in pieces:
                samples += network(piece).flatten().numpy().size
        print(json.dumps({"seconds": time.process_time() - started, "samples": samples}), flush=True)


if __name__ == "__main__":
    main()
