"""HiFi-GAN V1's training step in PyTorch, as `step_rate.py` compares it: the layers, losses and optimiser of `hifigan/base`, weight and
spectral normalisation by PyTorch's own hooks, eager unless asked. A process of its own; it answers each line `N` with the seconds of a
step, by the clock and of the processor, over N steps.

    python benchmarks/torch_hifigan.py '{"batch": 16, "samples": 8192, "device": "cuda", "compile": false, "threads": 0, ...}'
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm, weight_norm

FFT, HOP, BANDS = 1024, 256, 80
warnings.filterwarnings("ignore")  # the hooks are deprecated in favour of parametrisations, which are slower


class ResidualBlock(nn.Module):
    def __init__(self, width: int, kernel: int):
        super().__init__()
        padded = lambda dilation: weight_norm(nn.Conv1d(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2)))
        self.dilated = nn.ModuleList(padded(dilation) for dilation in (1, 3, 5))
        self.plain = nn.ModuleList(padded(1) for _ in range(3))

    def forward(self, x):
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, 0.1)), 0.1))
        return x


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        width = 512
        self.first = weight_norm(nn.Conv1d(BANDS, width, 7, padding=3))
        self.upsampling, self.blocks = nn.ModuleList(), nn.ModuleList()
        for kernel, factor in ((16, 8), (16, 8), (4, 2), (4, 2)):
            self.upsampling.append(weight_norm(nn.ConvTranspose1d(width, width // 2, kernel, factor, (kernel - factor) // 2)))
            width //= 2
            self.blocks.append(nn.ModuleList(ResidualBlock(width, size) for size in (3, 7, 11)))
        self.last = weight_norm(nn.Conv1d(width, 1, 7, padding=3))

    def forward(self, mel):
        x = self.first(mel)
        for upsampling, blocks in zip(self.upsampling, self.blocks, strict=True):
            x = upsampling(F.leaky_relu(x, 0.1))
            x = sum(block(x) for block in blocks) / len(blocks)
        return torch.tanh(self.last(F.leaky_relu(x)))


class PeriodDiscriminator(nn.Module):
    def __init__(self, period: int):
        super().__init__()
        self.period, widths = period, (1, 32, 128, 512, 1024, 1024)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(widths[i], widths[i + 1], (5, 1), (3 if i < 4 else 1, 1), (2, 0))) for i in range(5)
        )
        self.logits = weight_norm(nn.Conv2d(1024, 1, (3, 1), 1, (1, 0)))

    def forward(self, audio):
        batch, channels, samples = audio.shape
        audio = F.pad(audio, (0, -samples % self.period), "reflect")
        x, maps = audio.view(batch, channels, -1, self.period), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            maps.append(x)
        x = self.logits(x)
        return x.flatten(1), [*maps, x]


class ScaleDiscriminator(nn.Module):
    PLAN = ((1, 128, 15, 1, 1), (128, 128, 41, 2, 4), (128, 256, 41, 2, 16), (256, 512, 41, 4, 16), (512, 1024, 41, 4, 16))
    END = ((1024, 1024, 41, 1, 16), (1024, 1024, 5, 1, 1))

    def __init__(self, normalised):
        super().__init__()
        plan = self.PLAN + self.END
        self.layers = nn.ModuleList(normalised(nn.Conv1d(a, b, taps, stride, taps // 2, groups=g)) for a, b, taps, stride, g in plan)
        self.logits = normalised(nn.Conv1d(1024, 1, 3, padding=1))

    def forward(self, x):
        maps = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            maps.append(x)
        x = self.logits(x)
        return x.flatten(1), [*maps, x]


class Discriminators(nn.Module):
    def __init__(self):
        super().__init__()
        self.periods = nn.ModuleList(PeriodDiscriminator(period) for period in (2, 3, 5, 7, 11))
        self.scales = nn.ModuleList(ScaleDiscriminator(normalised) for normalised in (spectral_norm, weight_norm, weight_norm))
        self.pool = nn.AvgPool1d(4, 2, 2)

    def forward(self, audio):
        judged = [period(audio) for period in self.periods]
        for index, scale in enumerate(self.scales):
            audio = self.pool(audio) if index else audio
            judged.append(scale(audio))
        return judged


class Step:
    """One update of the discriminators and one of the generator, whose pass both share."""

    def __init__(self, o: dict):
        self.device = o["device"]
        self.generator, self.critic = Generator().to(self.device), Discriminators().to(self.device)
        adam = lambda network: torch.optim.AdamW(
            network.parameters(), o["learning_rate"], (o["beta_1"], o["beta_2"]), o["epsilon"], o["weight_decay"]
        )
        self.of_generator, self.of_critic = adam(self.generator), adam(self.critic)
        self.window = torch.hann_window(FFT, device=self.device)
        # Any matrix costs what the mel filters cost, and no package is needed for it.
        self.filters = torch.rand(BANDS, FFT // 2 + 1, device=self.device) * 0.01
        self.real = torch.rand(o["batch"], 1, o["samples"], device=self.device) * 1.8 - 0.9
        self.run_generator, self.run_critic = self.generator, self.critic
        if o["compile"]:
            self.run_generator, self.run_critic = torch.compile(self.generator), torch.compile(self.critic)

    def mel(self, audio):
        edge = (FFT - HOP) // 2
        padded = F.pad(audio, (edge, edge), "reflect").squeeze(1)
        spectrum = torch.stft(padded, FFT, HOP, window=self.window, center=False, return_complex=True)
        magnitude = torch.sqrt(torch.view_as_real(spectrum).square().sum(-1) + 1e-9)
        return torch.log(torch.clamp(self.filters @ magnitude, min=1e-5))

    def __call__(self) -> None:
        mel = self.mel(self.real)
        fake = self.run_generator(mel)
        self.of_critic.zero_grad()
        pairs = zip(self.run_critic(self.real), self.run_critic(fake.detach()), strict=True)
        sum(0.5 * ((1 - real[0]).square().mean() + made[0].square().mean()) for real, made in pairs).backward()
        self.of_critic.step()
        self.of_generator.zero_grad()
        loss = 45.0 * F.l1_loss(self.mel(fake), mel)
        for real, made in zip(self.run_critic(self.real), self.run_critic(fake), strict=True):
            loss = loss + (1 - made[0]).square().mean()
            loss = loss + 2.0 * sum(F.l1_loss(mine, theirs.detach()) for mine, theirs in zip(made[1], real[1], strict=True))
        loss.backward()
        self.of_generator.step()

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    o = json.loads(sys.argv[1])
    if o["threads"]:
        torch.set_num_threads(o["threads"])
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    step = Step(o)

    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    begun = time.monotonic()
    step()
    step.wait()
    about = {"torch": torch.__version__, "first_seconds": time.monotonic() - begun}
    print(json.dumps({**about, "parameters": {"generator": count(step.generator), "critic": count(step.critic)}}), flush=True)
    for line in sys.stdin:
        begun, processor, steps = time.monotonic(), time.process_time(), int(line)
        for _ in range(steps):
            step()
        step.wait()
        spent = (time.monotonic() - begun) / steps, (time.process_time() - processor) / steps
        print(json.dumps(dict(zip(("seconds", "processor_seconds"), spent, strict=True))), flush=True)


if __name__ == "__main__":
    main()
