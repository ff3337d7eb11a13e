"""The WaveGAN step of `trainer_speed.py` in PyTorch: the same layers, batch, losses, penalties and optimisers, eager as PyTorch is
used, or with `compile` its networks through `torch.compile` (not for R1, whose second derivative it does not take). A process of its own,
so that the two libraries' threads do not meet; it answers each line `N` with the seconds of N steps.

    python benchmarks/torch_step.py '{"dim": 16, "samples": 16384, "batch": 16, "kernel": 25, "latent": 100, "r1": 0.05, ...}'
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def strides_of(samples: int, start: int) -> list[int]:
    strides = []
    while start * 4 <= samples:
        start *= 4
        strides.append(4)
    return strides + [2] if start * 2 == samples else strides


class Generator(nn.Module):
    def __init__(self, o: dict):
        super().__init__()
        strides = strides_of(o["samples"], o["start"])
        width = o["dim"] * 2 ** (len(strides) - 1)
        self.start, self.width = o["start"], width
        self.dense = nn.Linear(o["latent"], o["start"] * width)
        convolutions = []
        for stride in strides:
            after = 1 if len(convolutions) == len(strides) - 1 else width // 2
            padding = (o["kernel"] - stride + 1) // 2  # TensorFlow's "same": stride times as long
            extra = stride + 2 * padding - o["kernel"]
            convolutions.append(nn.ConvTranspose1d(width, after, o["kernel"], stride, padding, extra))
            width = after
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, latent):
        x = F.relu(self.dense(latent).view(-1, self.width, self.start))
        for convolution in self.convolutions[:-1]:
            x = F.relu(convolution(x))
        return torch.tanh(self.convolutions[-1](x))


class Critic(nn.Module):
    def __init__(self, o: dict):
        super().__init__()
        strides = strides_of(o["samples"], o["start"])
        widths = [1] + [o["dim"] * 2**i for i in range(len(strides))]
        self.pads = [(o["kernel"] - s) // 2 for s in strides]
        self.uneven = [(o["kernel"] - s) % 2 for s in strides]
        self.convolutions = nn.ModuleList(nn.Conv1d(widths[i], widths[i + 1], o["kernel"], s) for i, s in enumerate(strides))
        self.logit = nn.Linear(widths[-1] * o["start"], 1)
        self.radius, self.shuffled = o["phase_shuffle"], min(4, len(strides) - 1)

    def forward(self, x):
        for i, convolution in enumerate(self.convolutions):
            x = F.leaky_relu(convolution(F.pad(x, (self.pads[i], self.pads[i] + self.uneven[i]))), 0.2)
            if i < self.shuffled and self.radius:
                shift, length = int(torch.randint(-self.radius, self.radius + 1, ())), x.shape[-1]
                x = F.pad(x, (self.radius, self.radius), mode="reflect")[..., self.radius - shift : self.radius - shift + length]
        return self.logit(x.flatten(1))[:, 0]


def main() -> None:
    o = json.loads(sys.argv[1])
    torch.set_num_threads(o["threads"])
    torch.manual_seed(0)
    device = o["device"]
    torch.backends.cudnn.benchmark = True
    generator, critic = Generator(o).to(device), Critic(o).to(device)
    average = [p.detach().clone() for p in generator.parameters()]
    adam = lambda network: torch.optim.Adam(network.parameters(), o["learning_rate"], (o["beta_1"], o["beta_2"]), o["epsilon"])
    of_generator, of_critic = adam(generator), adam(critic)
    make, judge = (torch.compile(generator), torch.compile(critic)) if o["compile"] else (generator, critic)
    real = torch.randn(64, 1, o["samples"], device=device).clamp(-1, 1)
    latent = lambda: torch.rand(o["batch"], o["latent"], device=device) * 2 - 1
    step = 0

    def run() -> None:
        nonlocal step
        batch = real[torch.arange(step * o["batch"], (step + 1) * o["batch"], device=device) % len(real)]
        of_critic.zero_grad()
        loss = F.softplus(-judge(batch)).mean() + F.softplus(judge(make(latent()).detach())).mean()
        loss.backward()
        of_critic.step()
        if step % o["r1_every"] == 0:
            batch = batch.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(critic(batch).sum(), batch, create_graph=True)
            of_critic.zero_grad()
            (0.5 * o["r1"] * o["r1_every"] * slope.square().flatten(1).sum(1).mean()).backward()
            of_critic.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        of_generator.zero_grad()
        F.softplus(-judge(make(latent()))).mean().backward()
        of_generator.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(True)
        with torch.no_grad():
            for old, new in zip(average, generator.parameters(), strict=True):
                old.lerp_(new, 1 - o["ema"])
        step += 1

    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in (("generator", generator), ("critic", critic))}
    print(json.dumps({"torch": torch.__version__, "parameters": counts}), flush=True)
    for line in sys.stdin:
        begun = time.monotonic()
        for _ in range(int(line)):
            run()
        if device == "cuda":
            torch.cuda.synchronize()
        print(time.monotonic() - begun, flush=True)


if __name__ == "__main__":
    main()
