"""Runs the authors' own vocoders with weights drawn from their names, and stores what they give.

In an environment of its own with PyTorch (see README.md), from the root of this repository:

    python benchmarks/parity/authors.py --code AUTHORS -o tests/data/parity
    python benchmarks/parity/authors.py --code AUTHORS -o FULL --full          # generators of the published sizes

AUTHORS holds the authors' repositories, each under its own name: hifi-gan, melgan-neurips, vocos, ParallelWaveGAN. Each case becomes one
.npz: configuration, names and shapes of the weights (their numbers are `tests/drawn_weights.py`'s), the input, the output, and of the
discriminators the logits and losses. `compare.py` and the tests read them without PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.drawn_weights import drawn, melody, uniform

SAMPLES = 2048  # of the clips that discriminators judge
Case = tuple[dict[str, np.ndarray], dict[str, Any]]  # arrays, facts


def load_drawn(module: torch.nn.Module, prefix: str = "") -> dict[str, list[int]]:
    """Give every parameter its drawn numbers, and list all names with their shapes. Buffers keep theirs, but for singular vectors."""
    parameters = {name for name, _ in module.named_parameters()}
    vectors = {name for name, value in module.named_buffers() if name.endswith(("weight_u", "weight_v"))}
    state = module.state_dict()
    for name in parameters | vectors:
        state[name] = torch.from_numpy(drawn(prefix + name, tuple(state[name].shape)))
    module.load_state_dict(state)
    return {prefix + name: list(value.shape) for name, value in state.items()}


def buffers(module: torch.nn.Module, prefix: str = "") -> dict[str, np.ndarray]:
    """The buffers that are neither drawn nor derived."""
    return {
        f"buffer/{prefix}{name}": value.numpy() for name, value in module.named_buffers() if not name.endswith(("weight_u", "weight_v"))
    }


def narrowed(layer: Callable, divisor: int) -> Callable:
    """A constructor of convolutions with a fraction of the channels, for discriminators whose sizes are fixed in the code."""
    fewer = lambda channels: channels if channels <= 2 else max(1, channels // divisor)
    return lambda channels, filters, *more, **named: layer(fewer(channels), fewer(filters), *more, **named)


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips [2, 1, samples]: what is real, what is generated."""
    real, fake = (0.5 * uniform(name, (2, 1, SAMPLES)) for name in ("real", "fake"))
    return torch.from_numpy(real), torch.from_numpy(0.7 * real + 0.3 * fake)


def numbers(parts: list[torch.Tensor]) -> np.ndarray:
    """Logits of a discriminator's parts in one row, in no order that a loss would notice: sorted part by part."""
    return np.concatenate([np.sort(part.detach().numpy().reshape(-1)) for part in parts]).astype(np.float32)


# HiFi-GAN.


def hifigan(code: Path, full: bool) -> dict[str, Case]:
    models = importlib.import_module("models")
    cases = {}
    if full:
        for version in ("v1", "v2", "v3"):
            config = json.loads((code / f"config_{version}.json").read_text())
            cases[f"hifigan-{version}"] = generator_case(models.Generator(types.SimpleNamespace(**config)), config, frames=96)
        return cases
    sizes = {
        "hifigan-block1": {"resblock": "1", "resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]]},
        "hifigan-block2": {"resblock": "2", "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 2], [2, 6]]},
    }
    for name, blocks in sizes.items():
        config = {
            **blocks,
            "upsample_rates": [8, 4],
            "upsample_kernel_sizes": [16, 8],
            "upsample_initial_channel": 16,
            "num_mels": 80,
            "n_fft": 128,
            "hop_size": 32,
            "win_size": 128,
            "sampling_rate": 8000,
            "fmin": 0,
            "fmax": 3000,
            "fmax_for_loss": None,
            "segment_size": SAMPLES,
            "learning_rate": 0.0002,
            "adam_b1": 0.8,
            "adam_b2": 0.99,
            "lr_decay": 0.999,
            "batch_size": 4,
        }
        cases[name] = generator_case(models.Generator(types.SimpleNamespace(**config)), config)
    models.Conv2d, models.Conv1d = narrowed(torch.nn.Conv2d, 16), narrowed(torch.nn.Conv1d, 8)
    arrays, facts = cases["hifigan-block2"]
    real, fake = pair()
    losses: dict[str, float] = {}
    for kind, network in (("mpd", models.MultiPeriodDiscriminator()), ("msd", models.MultiScaleDiscriminator())):
        facts["shapes"] |= load_drawn(network, f"{kind}.")
        network.train()  # spectral normalisation takes a step of the power method at each call: let it converge
        for _ in range(100 if kind == "msd" else 0):
            network(real, fake)
        arrays |= {f"buffer/{kind}.{name}": value.numpy().copy() for name, value in network.named_buffers() if name.endswith("weight_u")}
        real_logits, fake_logits, real_maps, fake_maps = network(real, fake)
        arrays[f"logits/{kind}"] = numbers(fake_logits)
        losses[f"critic/{kind}"] = float(models.discriminator_loss(real_logits, fake_logits)[0])
        losses[f"generator/{kind}"] = float(models.generator_loss(fake_logits)[0])
        losses[f"feature_matching/{kind}"] = float(models.feature_loss(real_maps, fake_maps))
    facts["losses"] = losses
    return cases


def generator_case(network: torch.nn.Module, config: Mapping[str, Any], frames: int = 10, prefix: str = "") -> Case:
    shapes = load_drawn(network.eval(), prefix)
    bands = config["num_mels"]
    mel = melody(frames, bands)
    with torch.no_grad():
        audio = network(torch.from_numpy(mel.transpose(0, 2, 1).copy()))
    return {"audio": audio.numpy()[0]}, {"config": dict(config), "shapes": shapes, "frames": frames, "bands": bands}


# MelGAN.


def melgan(code: Path, full: bool) -> dict[str, Case]:
    modules = importlib.import_module("mel2wav.modules")
    if full:
        return {"melgan": generator_case(modules.Generator(80, 32, 3), {"num_mels": 80}, frames=96)}
    arrays, facts = generator_case(modules.Generator(80, 2, 2), {"num_mels": 80})
    wide = modules.WNConv1d
    modules.WNConv1d = lambda channels, filters, groups=1, **named: wide(
        max(1, channels // 4), max(1, filters // 4), groups=max(1, groups // 4), **named
    )
    network = modules.Discriminator(2, 16, 4, 4)
    facts["critic_shapes"] = load_drawn(network, "netD.")
    real, fake = pair()
    judged_real, judged_fake = network(real), network(fake)
    arrays["logits/msd"] = numbers([scale[-1] for scale in judged_fake])
    relu = torch.nn.functional.relu
    weight = 4.0 / (4 + 1) / 2  # 4 / (layers + 1), 1 / scales: scripts/train.py
    matching = sum(
        weight * torch.nn.functional.l1_loss(fake_map, real_map.detach())
        for fakes, reals in zip(judged_fake, judged_real, strict=True)
        for fake_map, real_map in zip(fakes[:-1], reals[:-1], strict=True)
    )
    facts["losses"] = {
        "critic/msd": float(
            sum(relu(1 + fakes[-1]).mean() + relu(1 - reals[-1]).mean() for fakes, reals in zip(judged_fake, judged_real, strict=True))
        ),
        "generator/msd": float(-sum(fakes[-1].mean() for fakes in judged_fake)),
        "feature_matching/msd": float(10 * matching),
    }
    return {"melgan": (arrays, facts)}


# Vocos.


def vocos(code: Path, full: bool) -> dict[str, Case]:
    stand_in_for_torchaudio()
    bare("vocos", code / "vocos")
    heads, models = importlib.import_module("vocos.heads"), importlib.import_module("vocos.models")
    discriminators, loss = importlib.import_module("vocos.discriminators"), importlib.import_module("vocos.loss")
    cases = {}
    rate, fft, hop, bands, width, hidden, blocks = (24000, 1024, 256, 100, 512, 1536, 8) if full else (8000, 64, 16, 10, 16, 32, 2)
    for padding in ("center", "same"):
        config = {
            "feature_extractor": {
                "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
                "init_args": {"sample_rate": rate, "n_fft": fft, "hop_length": hop, "n_mels": bands, "padding": padding},
            },
            "backbone": {
                "class_path": "vocos.models.VocosBackbone",
                "init_args": {"input_channels": bands, "dim": width, "intermediate_dim": hidden, "num_layers": blocks},
            },
            "head": {
                "class_path": "vocos.heads.ISTFTHead",
                "init_args": {"dim": width, "n_fft": fft, "hop_length": hop, "padding": padding},
            },
        }
        network = torch.nn.Module()
        network.backbone = models.VocosBackbone(**config["backbone"]["init_args"])
        network.head = heads.ISTFTHead(**config["head"]["init_args"])
        shapes = load_drawn(network.eval())
        mel = melody(24, bands)
        with torch.no_grad():
            audio = network.head(network.backbone(torch.from_numpy(mel.transpose(0, 2, 1).copy())))
        facts = {"config": config, "shapes": shapes, "frames": 24, "bands": bands}
        cases[f"vocos-{padding}"] = {"audio": audio.numpy(), **buffers(network)}, facts
    if full:
        return cases
    discriminators.Conv2d = narrowed(torch.nn.Conv2d, 16)
    arrays, facts = cases["vocos-center"]
    resolutions = discriminators.MultiResolutionDiscriminator()
    resolutions.discriminators = torch.nn.ModuleList(
        [discriminators.DiscriminatorR(window_length=size, channels=2) for size in (256, 128, 64)]
    )
    real, fake = (clip[:, 0] for clip in pair())
    losses: dict[str, float] = {}
    for kind, name, network in (
        ("mpd", "multiperioddisc", discriminators.MultiPeriodDiscriminator()),
        ("mrd", "multiresddisc", resolutions),
    ):
        facts["shapes"] |= load_drawn(network, f"{name}.")
        arrays |= buffers(network, f"{name}.")
        real_logits, fake_logits, real_maps, fake_maps = network(y=real, y_hat=fake)
        arrays[f"logits/{kind}"] = numbers(fake_logits)
        losses[f"critic/{kind}"] = float(loss.DiscriminatorLoss()(real_logits, fake_logits)[0]) / len(real_logits)
        losses[f"generator/{kind}"] = float(loss.GeneratorLoss()(fake_logits)[0]) / len(fake_logits)
        losses[f"feature_matching/{kind}"] = float(loss.FeatureMatchingLoss()(real_maps, fake_maps)) / len(real_maps)
    facts["losses"] = losses
    return cases


# ParallelWaveGAN.


def parallel_wavegan(code: Path, full: bool) -> dict[str, Case]:
    import scipy.signal
    import yaml

    scipy.signal.kaiser = scipy.signal.windows.kaiser  # where newer versions of scipy have it
    for name in ("h5py", "distutils", "distutils.version", "fastdtw", "soundfile", "pysptk"):
        if name not in sys.modules and importlib.util.find_spec(name.partition(".")[0]) is None:
            sys.modules[name] = types.SimpleNamespace(LooseVersion=None)  # type: ignore[assignment]
    layers = package_parts(code)
    sound = {"sampling_rate": 8000, "fft_size": 128, "win_length": None, "window": "hann", "num_mels": 20, "fmin": 80, "fmax": 3600}
    cases = {}
    if full:
        for name, recipe in (("hifigan", "ljspeech/voc1/conf/hifigan.v1"), ("multi-band", "ljspeech/voc1/conf/multi_band_melgan.v2")):
            config = yaml.safe_load((code / "egs" / f"{recipe}.yaml").read_text()) | {"version": "0.5.1"}
            network = getattr(layers, config["generator_type"])(**config["generator_params"])
            bank = layers.PQMF(4) if name == "multi-band" else None
            cases[f"parallel-wavegan-{name}"] = normalised_case(network, config, bank)
        return cases
    config = {
        **sound,
        "hop_size": 20,
        "generator_type": "HiFiGANGenerator",
        "generator_params": {
            "in_channels": 20,
            "channels": 16,
            "upsample_scales": [5, 4],
            "upsample_kernel_sizes": [10, 8],
            "resblock_kernel_sizes": [3, 5],
            "resblock_dilations": [[1, 3], [1, 3]],
        },
        "discriminator_type": "HiFiGANMultiScaleMultiPeriodDiscriminator",
        "version": "0.5.1",
    }
    cases["parallel-wavegan-hifigan"] = normalised_case(layers.HiFiGANGenerator(**config["generator_params"]), config)
    config = {
        **sound,
        "hop_size": 32,
        "generator_type": "MelGANGenerator",
        "generator_params": {"in_channels": 20, "out_channels": 4, "channels": 16, "upsample_scales": [4, 2], "stacks": 2},
        "discriminator_type": "MelGANMultiScaleDiscriminator",
        "discriminator_params": {"scales": 2, "channels": 4, "max_downsample_channels": 32, "downsample_scales": [4, 4]},
        "use_subband_stft_loss": True,
        "lambda_adv": 2.5,
        "version": "0.4.2",
    }
    network = layers.MelGANGenerator(**config["generator_params"])
    arrays, facts = normalised_case(network, config, layers.PQMF(4, 62, 0.15, 9.0))
    critic = layers.MelGANMultiScaleDiscriminator(**config["discriminator_params"])
    facts["critic_shapes"] = load_drawn(critic, "discriminator.")
    arrays["logits/msd"] = numbers([scale[-1] for scale in critic(pair()[1])])
    cases["parallel-wavegan-multi-band"] = arrays, facts
    return cases


def normalised_case(network: torch.nn.Module, config: Mapping[str, Any], bank: Any = None) -> Case:
    shapes = load_drawn(network.eval(), "generator.")
    bands = config["num_mels"]
    mean, scale = -2 + uniform("mean", (bands,)), 1 + 0.5 * uniform("scale", (bands,))
    mel = melody(12, bands, low=-4.0, high=1.0)
    with torch.no_grad():
        made = network(torch.from_numpy(((mel - mean) / scale).transpose(0, 2, 1).copy()))
        audio = made if bank is None else bank.synthesis(made)
    return {"audio": audio.numpy()[0]}, {"config": dict(config), "shapes": shapes, "frames": 12, "bands": bands}


def package_parts(code: Path) -> types.SimpleNamespace:
    """The generators, the discriminators and the filter bank."""
    root = code / "parallel_wavegan"
    for name in ("parallel_wavegan", "parallel_wavegan.layers", "parallel_wavegan.models", "parallel_wavegan.utils"):
        bare(name, root / Path(*name.split(".")[1:]))
    sys.modules["parallel_wavegan.utils"].read_hdf5 = None  # type: ignore[attr-defined]
    front = sys.modules["parallel_wavegan.layers"]
    for part in ("causal_conv", "residual_stack", "residual_block", "pqmf"):
        vars(front).update({k: v for k, v in vars(importlib.import_module(f"parallel_wavegan.layers.{part}")).items() if k[0] != "_"})
    for unused in ("duration_predictor", "length_regulator", "layer_norm", "variance_predictor"):
        stub = types.ModuleType(f"parallel_wavegan.layers.{unused}")
        stub.DurationPredictor = stub.LengthRegulator = None  # type: ignore[attr-defined]
        sys.modules[stub.__name__] = stub
    found = {**vars(front)}
    for part in ("melgan", "hifigan"):
        found |= vars(importlib.import_module(f"parallel_wavegan.models.{part}"))
    return types.SimpleNamespace(**{k: v for k, v in found.items() if k[0] != "_"})


def bare(name: str, folder: Path) -> None:
    """A package whose parts can be imported without running its front, which imports far more than the networks need."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


def stand_in_for_torchaudio() -> None:
    """Where torchaudio does not load beside this PyTorch: the two things that Vocos' networks take from it."""
    try:
        importlib.import_module("torchaudio.transforms")
        return
    except (ImportError, OSError):
        pass

    class Spectrogram(torch.nn.Module):
        def __init__(self, n_fft: int, hop_length: int, win_length: int, power: Any = None):
            super().__init__()
            self.sizes = n_fft, hop_length, win_length
            self.register_buffer("window", torch.hann_window(win_length))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            fft, hop, window = self.sizes
            return torch.stft(x, fft, hop, window, self.window, center=True, pad_mode="reflect", return_complex=True)

    transforms = types.ModuleType("torchaudio.transforms")
    transforms.Spectrogram = Spectrogram  # type: ignore[attr-defined]
    functional = types.ModuleType("torchaudio.functional.functional")
    functional._hz_to_mel = functional._mel_to_hz = None  # type: ignore[attr-defined]
    for module in (types.ModuleType("torchaudio"), types.ModuleType("torchaudio.functional"), transforms, functional):
        sys.modules[module.__name__] = module


PROGRAMS = {"hifi-gan": hifigan, "melgan-neurips": melgan, "vocos": vocos, "ParallelWaveGAN": parallel_wavegan}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=Path, required=True, help="Folder with the authors' repositories.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--full", action="store_true", help="Generators of the published sizes, in place of small networks.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    options.output.mkdir(parents=True, exist_ok=True)
    summary = {}
    for program, run in PROGRAMS.items():
        code = options.code / program
        if not code.is_dir():
            print(f"{program}: {code} is missing; left out", file=sys.stderr)
            continue
        sys.path.insert(0, str(code))
        for name, (arrays, facts) in run(code, options.full).items():
            file = options.output / f"{name}.npz"
            np.savez_compressed(file, facts=np.array(json.dumps(facts)), **arrays)
            summary[name] = {"bytes": file.stat().st_size, "peak": float(np.abs(arrays["audio"]).max()), **facts.get("losses", {})}
        sys.path.remove(str(code))
    for name, figures in summary.items():
        print(f"{name:30s}" + "  ".join(f"{key} {value:.6g}" for key, value in figures.items()), file=sys.stderr)
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
