"""Runs the authors' own WaveGAN, SpecGAN, GANSynth and SEGAN with weights drawn from their names, and stores what they give.

In an environment of its own with TensorFlow, tf_keras, tf_slim and tensorflow-gan (see README.md), from the root of this repository:

    python benchmarks/parity/authors_tensorflow.py --code AUTHORS -o tests/data/parity

AUTHORS holds the authors' repositories, each under its own name: wavegan, magenta, segan. Written for TensorFlow 0.12 to 1.15, their code
runs in TensorFlow 2 through `tensorflow.compat.v1`, its legacy layers, and the replacements below, which change no arithmetic. Random
numbers are replaced by drawn ones. Each case becomes one .npz: sizes, names and shapes of the variables (their numbers are
`tests/drawn_weights.py`'s), and what came out. The tests read them without any of this.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import json
import os
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tensorflow as tf

from tests.drawn_weights import drawn_variable, uniform

tf1 = tf.compat.v1
Case = tuple[dict[str, np.ndarray], dict[str, Any]]  # arrays, facts
SPARSE = 16  # of the samples one in so many is stored
BATCH = 2


# Making old code run.


def authors_module(path: Path, name: str, replaced: Mapping[str, str], **known: Any) -> types.ModuleType:
    """Execute a file of the authors with pieces of text replaced.

    Args:
        path: The file.
        name: Of the module.
        replaced: Text -> its replacement. A text that is not there is an error.
        known: Modules that it imports -> what it gets; "tf1" in place of TensorFlow.
    """
    text = path.read_text(encoding="utf-8")
    for old, new in {"import tensorflow as tf": "import tf1 as tf", **replaced}.items():
        if old not in text:
            raise SystemExit(f"{path} has no {old!r}: it is another version than the one that was compared")
        text = text.replace(old, new)
    module = types.ModuleType(name)
    before = {key: sys.modules.get(key) for key in known}
    sys.modules.update(known)
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    finally:
        for key, value in before.items():
            sys.modules.pop(key) if value is None else sys.modules.update({key: value})
    return module


def assign_drawn(session: Any, equalized: bool = False) -> dict[str, list[int]]:
    """Initialise all variables, give every weight its drawn numbers, and list those with their shapes."""
    session.run(tf1.global_variables_initializer())
    shapes = {}
    for variable in tf1.global_variables():
        name, shape = variable.op.name, tuple(variable.shape.as_list())
        if name.startswith(("G/", "D/", "g_", "d_", "Generator/", "Discriminator/")) and not name.endswith(
            ("Adam", "Adam_1", "RMSProp", "RMSProp_1")
        ):
            variable.load(drawn_variable(name, shape, equalized), session)
            shapes[name] = list(shape)
    return shapes


class Captured(Exception):
    """Ends the authors' training when all has been seen."""


class Session:
    """In place of MonitoredTrainingSession: draws the weights, evaluates what was captured, lets each optimiser make one step."""

    def __init__(self, captured: Mapping[str, Any], watched: tuple[str, ...]):
        self.captured, self.watched, self.steps = captured, watched, 0
        self.arrays: dict[str, np.ndarray] = {}
        self.shapes: dict[str, list[int]] = {}

    def __enter__(self) -> Session:
        self.session = tf1.Session()
        self.shapes = assign_drawn(self.session)
        values = self.session.run(dict(self.captured))
        self.arrays = {key: np.asarray(value) for key, value in values.items()}
        return self

    def __exit__(self, *_: Any) -> None:
        self.session.close()

    def run(self, operation: Any) -> None:
        """The first call is the discriminator's update, then weights may be clipped; the last one is the generator's."""
        self.session.run(operation)
        self.steps += 1
        if operation.name.startswith("Adam_1") or operation.name.startswith("RMSProp_1"):
            self._note("D/")
        elif operation.name.startswith(("Adam", "RMSProp")):
            self._note("G/")
            raise Captured

    def _note(self, head: str) -> None:
        for variable in tf1.global_variables():
            if variable.op.name in self.watched and variable.op.name.startswith(head):
                self.arrays[f"after/{variable.op.name}"] = self.session.run(variable)


def drawn_random(shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = None, **_: Any) -> Any:
    """In place of tf.random_uniform: latents, interpolation factors and shifts that a test can repeat."""
    shape = [int(n) for n in shape]
    if not shape:
        return tf.constant(1)  # a shift of one step
    return tf.constant(uniform("latent", tuple(shape)) if len(shape) == 2 else (uniform("alpha", tuple(shape)) + 1) / 2, tf.float32)


# WaveGAN and SpecGAN.


def train_once(code: Path, kind: str, arguments: Mapping[str, Any], real: np.ndarray, watched: tuple[str, ...]) -> Session:
    """Run the training script's `train` on one fixed batch until both networks have been updated once."""
    graph = tf1.Graph()
    contrib = types.SimpleNamespace(signal=tf.signal)
    with graph.as_default():
        patched = types.ModuleType("tf1")
        patched.__dict__.update({key: getattr(tf1, key) for key in dir(tf1)})
        captured: dict[str, Any] = {}
        summary = lambda name, tensor, *_, **__: captured.update({name: tensor})
        silent = lambda *_, **__: None
        session = Session(captured, watched)
        patched.summary = types.SimpleNamespace(scalar=summary, audio=summary, histogram=silent, image=silent)
        patched.random_uniform, patched.contrib = drawn_random, contrib
        patched.train = types.SimpleNamespace(
            **{key: getattr(tf1.train, key) for key in dir(tf1.train) if not key.startswith("_")}
            | {"MonitoredTrainingSession": lambda **_: session}
        )
        known = {"tf1": patched}
        loader = types.ModuleType("loader")
        loader.decode_extract_and_batch = lambda *_, **__: tf.constant(real[:, :, None])
        networks = authors_module(code / f"{kind}.py", kind, {}, **known)
        moves = {"six.moves": types.SimpleNamespace(xrange=range), "loader": loader, kind: networks, **known}
        script = authors_module(code / f"train_{kind}.py", f"train_{kind}", {"reduction_indices": "axis"}, **moves)
        script.__dict__["print"] = silent
        with contextlib.suppress(Captured):
            script.train(["none"], types.SimpleNamespace(**arguments))
        session.script = script
    return session


def options(kind: str, loss: str, **sizes: Any) -> dict[str, Any]:
    """The scripts' options, as their main part makes them of the command line."""
    general = {"train_batch_size": BATCH, "data_sample_rate": 16000, "train_dir": "", "train_save_secs": 0, "train_summary_secs": 0}
    data = ("data_first_slice", "data_overlap_ratio", "data_pad_end", "data_fast_wav", "data_prefetch_gpu_num")
    own = {"loss": loss, "disc_nupdates": 1, "latent_dim": 8, "genr_pp": False, "genr_pp_len": 0, **sizes}
    return {**general, **dict.fromkeys(data, False), **{f"{kind}_{key}": value for key, value in own.items()}}


def wavegan(code: Path, full: bool) -> dict[str, Case]:
    cases = {}
    settings: dict[str, dict[str, Any]] = {
        "wavegan-gp": {"loss": "wgan-gp", "samples": 16384, "channels": 1, "dim": 2, "pp": 16, "shuffle": 1},
        "wavegan-dcgan": {"loss": "dcgan", "samples": 65536, "channels": 2, "dim": 1, "batch_norm": True, "upsample": "nn"},
        "wavegan-lsgan": {"loss": "lsgan", "samples": 32768, "channels": 1, "dim": 1},
    }
    for name, config in settings.items():
        config["dim"] = 64 if full else config["dim"]
        kernel, batch_norm, upsample = 25, config.get("batch_norm", False), config.get("upsample", "zeros")
        sizes = {"kernel_len": kernel, "dim": config["dim"], "use_batchnorm": batch_norm}
        generator = {**sizes, "slice_len": config["samples"], "nch": config["channels"], "upsample": upsample}
        more = {"g_kwargs": generator, "d_kwargs": {**sizes, "phaseshuffle_rad": config.get("shuffle", 0)}}
        pp = {"genr_pp": bool(config.get("pp")), "genr_pp_len": config.get("pp", 0)}
        arguments = options("wavegan", config["loss"], **more, **pp)
        arguments |= {"data_slice_len": config["samples"], "data_num_channels": config["channels"]}
        real = 0.5 * uniform("real", (BATCH, config["samples"], config["channels"]))
        # Layers without batch normalisation, which would leave rounding errors for gradients of biases.
        last = f"G/upconv_{4 if config['samples'] == 16384 else 5}/{'conv1d' if upsample == 'nn' else 'conv2d_transpose'}/bias"
        watched = ("D/output/dense/kernel", "D/downconv_0/conv1d/bias", last)
        seen = train_once(code, "wavegan", arguments, real, watched)
        arrays = {**seen.arrays, "G_z": seen.arrays["G_z"][:, ::SPARSE]}
        arrays.pop("x")
        keep = ("D_loss", "G_loss", "G_z")
        cases[name] = {k: v for k, v in arrays.items() if k in keep or k.startswith("after/")}, {"config": config, "shapes": seen.shapes}
    return cases


def specgan(code: Path, full: bool) -> dict[str, Case]:
    kwargs = {"kernel_len": 5, "dim": 64 if full else 2, "use_batchnorm": False}
    more = {"g_kwargs": {**kwargs, "upsample": "zeros"}, "d_kwargs": kwargs, "ngl": 4}
    arguments = options("specgan", "wgan-gp", **more)
    mean, deviation = 1.0 + uniform("mean", (129,)), 1.0 + 0.3 * uniform("deviation", (129,))
    arguments |= {"data_moments_mean": mean, "data_moments_std": deviation}
    t = np.arange(16384) / 16000
    real = (0.5 * np.sin(2 * np.pi * np.array([[440.0], [1230.0]]) * t) * np.exp(-3 * t)).astype(np.float32)[:, :, None]
    seen = train_once(code, "specgan", arguments, real, ("D/output/dense/kernel", "G/z_project/dense/bias"))
    with tf1.Graph().as_default(), tf1.Session() as session:
        script = seen.script
        moments = tf.constant(mean), tf.constant(deviation)
        spectrogram = script.t_to_f(tf.constant(real), *moments)
        audio = script.f_to_t(spectrogram, *moments, 4)
        found = session.run({"spectrogram": spectrogram, "audio": audio})
    kept = {key: value for key, value in seen.arrays.items() if key in ("D_loss", "G_loss") or key.startswith("after/")}
    arrays = {**kept, "spectrogram": found["spectrogram"][:, ::8, ::4], "audio": found["audio"][:, ::SPARSE, 0]}
    return {"specgan": (arrays, {"config": {}, "shapes": seen.shapes})}


# GANSynth.

FLAGS: dict[str, Any] = {
    "audio_length": 256,
    "sample_rate": 8000,
    "start_height": 2,
    "start_width": 16,
    "num_resolutions": 3,
    "scale_mode": "ALL",
    "scale_base": 2,
    "fmap_base": 32,
    "fmap_decay": 1.0,
    "fmap_max": 8,
    "kernel_size": 3,
    "to_rgb_activation": "tanh",
    "simple_arch": False,
    "data_normalizer": "specgrams_prespecified_normalizer",
    "mag_normalizer_a": 0.0661371661726,
    "mag_normalizer_b": 0.113718730221,
    "p_normalizer_a": 0.8,
    "p_normalizer_b": 0.0,
    "gradient_penalty_weight": 10.0,
    "gradient_penalty_target": 1.0,
    "real_score_penalty_weight": 0.001,
    "num_tokens": 5,
}

# Of mel_prog_hires.
FULL_FLAGS: dict[str, Any] = {
    "audio_length": 64000,
    "sample_rate": 16000,
    "num_resolutions": 7,
    "fmap_base": 4096,
    "fmap_max": 256,
    "num_tokens": 61,
}


def magenta_modules(code: Path) -> types.SimpleNamespace:
    """Import the parts of magenta that compute, past what its packages import at once, and tensorflow_gan past estimators."""
    for name in ("magenta", "magenta.models"):
        package = types.ModuleType(name)
        package.__path__ = [str(code.joinpath(*name.split(".")))]
        sys.modules[name] = package
    from magenta.models.gansynth.lib import network_functions, networks, train_util
    from magenta.models.gansynth.lib.specgrams_helper import SpecgramsHelper

    return types.SimpleNamespace(networks=networks, functions=network_functions, training=train_util, Helper=SpecgramsHelper)


def tensorflow_gan() -> Any:
    """Import the models and losses of tensorflow-gan 2.1.0, which as a package asks for estimators and probability."""
    tf.estimator = types.SimpleNamespace(SessionRunHook=object)
    inspect.getargspec = lambda function: types.SimpleNamespace(
        args=inspect.getfullargspec(function).args, keywords=inspect.getfullargspec(function).varkw
    )
    spec = importlib.util.find_spec("tensorflow_gan")
    package = types.ModuleType("tensorflow_gan")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow_gan"] = package
    for inner in ("python",):
        module = types.ModuleType(f"tensorflow_gan.{inner}")
        module.__path__ = [f"{package.__path__[0]}/{inner}"]
        sys.modules[f"tensorflow_gan.{inner}"] = module
    from tensorflow_gan.python import losses, train

    package.losses, package.gan_model, package.gan_loss = losses, train.gan_model, train.gan_loss
    return package


def notes(samples: int, rate: int) -> np.ndarray:
    """float32 [2, samples, 1]: two decaying tones of six partials in a little noise. In bins without any sound two transforms agree on
    nothing but rounding errors, whose phases both discriminators would read."""
    t = np.arange(samples) / rate
    f0 = np.array([[587.5], [311.0]]) * rate / 16000
    partials = sum(np.sin(2 * np.pi * n * f0 * t + n) / n for n in range(1, 7))
    return (0.2 * partials * np.exp(-2 * t / t[-1])).astype(np.float32)[:, :, None] + 0.002 * uniform("noise", (2, samples, 1))


def gansynth_stage(magenta: Any, settings: Mapping[str, Any], latents: int, blocks: int, progress: float) -> Case:
    """Spectrograms, logits and both total losses of a stage, from waveforms."""
    flags = {**settings, "num_blocks": blocks, "progress": tf.constant(progress)}
    flags["resolution_schedule"] = schedule = magenta.training.make_resolution_schedule(**settings)
    samples, rate = settings["audio_length"], settings["sample_rate"]
    helper = magenta.Helper(samples, schedule.final_resolutions, 0.75, rate, 1, True)
    real = magenta.networks.blend_images(
        helper.waves_to_melspecgrams(tf.constant(notes(samples, rate))), flags["progress"], schedule, blocks
    )
    labels = {name: tf.one_hot(classes, settings["num_tokens"]) for name, classes in (("real", [1, 4]), ("fake", [0, 3]))}
    outputs: dict[str, Any] = {}
    generate = lambda inputs: magenta.functions.generator_fn_specgram(inputs, **flags)[0]
    judge = lambda images, _: magenta.functions.discriminator_fn_specgram(images, **flags)[0]
    inputs = (tf.constant(uniform("latent", (BATCH, latents))), labels["fake"])
    model = sys.modules["tensorflow_gan"].gan_model(generate, judge, real, inputs)
    loss = magenta.training.define_loss(model, **flags)
    classification = {}
    for name, images in (("real", model.real_data), ("fake", model.generated_data)):
        with tf1.variable_scope(model.discriminator_scope, reuse=True):
            _, points = magenta.functions.discriminator_fn_specgram(images, **flags)
        outputs[f"{name}_classes"] = points["classification_logits"]
        cost = tf.nn.softmax_cross_entropy_with_logits(labels=labels[name], logits=points["classification_logits"])
        classification[name] = 10.0 * tf.reduce_mean(cost)  # the weight of mel_prog_hires
    outputs |= {
        "generator_loss": loss.generator_loss + classification["fake"],
        "critic_loss": loss.discriminator_loss + classification["real"],
        "real_logits": model.discriminator_real_outputs,
        "fake_logits": model.discriminator_gen_outputs,
        "generated": model.generated_data,
        "real": real,
        "audio": helper.melspecgrams_to_waves(model.generated_data),
    }
    with tf1.Session() as session:
        shapes = assign_drawn(session, equalized=True)
        arrays = session.run(outputs)
    return arrays, {"config": {"flags": settings}, "latent_dim": latents, "shapes": shapes}


def gansynth(code: Path, full: bool) -> dict[str, Case]:
    tensorflow_gan()
    magenta, uniform_before = magenta_modules(code), tf.random.uniform
    settings, latents = ({**FLAGS, **FULL_FLAGS}, 256) if full else (FLAGS, 6)
    stages = [("12", 7, 6.0), ("6", 4, 3.0), ("5", 4, 2.3)] if full else [("", 3, 2.0), ("fading", 3, 1.3)]
    cases = {}
    tf.random.uniform = drawn_random
    try:
        for name, blocks, progress in stages:
            with tf1.Graph().as_default():
                cases[f"gansynth-{name}".rstrip("-")] = gansynth_stage(magenta, settings, latents, blocks, progress)
    finally:
        tf.random.uniform = uniform_before
    if full:
        return cases
    with tf1.Graph().as_default(), tf1.Session() as session:
        helper = magenta.Helper(64000, (128, 1024), 0.75, 16000, 1, True)
        spectrogram = helper.waves_to_melspecgrams(tf.constant(notes(64000, 16000)[:1]))
        found, audio = session.run([spectrogram, helper.melspecgrams_to_waves(spectrogram)])
    cases["gansynth-mel"] = {"spectrogram": found[:, ::8, ::4], "audio": audio[:, ::SPARSE, 0]}, {"config": {}, "shapes": {}}
    return cases


# SEGAN.


def segan(code: Path, full: bool) -> dict[str, Case]:
    """The generator with learnt slopes and biases, and the discriminator whose reference is the batch itself."""
    tf012 = types.ModuleType("tensorflow")
    tf012.__dict__.update({key: getattr(tf1, key) for key in dir(tf1)})
    tf012.concat = lambda axis, values: tf.concat(values, axis)
    tf012.reduce_mean = lambda x, axis=None, keep_dims=False: tf.reduce_mean(x, axis, keep_dims)
    tf012.contrib = None
    known = {"tf1": tf012, "tensorflow.contrib.layers": types.SimpleNamespace(**dict.fromkeys(("batch_norm", "xavier_initializer")))}
    known["tensorflow.contrib.layers"].fully_connected = dense
    known["tensorflow.contrib.layers"].flatten = lambda x: x
    known["tensorflow.contrib"] = types.ModuleType("tensorflow.contrib")
    operations = authors_module(code / "ops.py", "ops", {}, **known)
    known["ops"] = operations
    norm = authors_module(code / "bnorm.py", "bnorm", {}, **known)
    generator = authors_module(code / "generator.py", "generator", {"assert False": "pass"}, **known)
    critic = authors_module(code / "discriminator.py", "discriminator", {"tf.squeeze(d_logit_out)": "d_logit_out[..., 0]"}, **known)
    widths, window = ([16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024], 16384) if full else ([4, 6, 8], 64)
    owner = types.SimpleNamespace(
        batch_size=BATCH, g_enc_depths=widths, d_num_fmaps=widths, canvas_size=window, deconv_type="deconv", disc_noise_std=0.0
    )
    owner.bias_downconv = owner.bias_deconv = owner.bias_D_conv = True

    def vbn(x: Any, name: str) -> Any:
        if not hasattr(owner, name):
            setattr(owner, name, norm.VBN(x, name))
            return getattr(owner, name).reference_output
        return getattr(owner, name)(x)

    owner.vbn = vbn
    with tf1.Graph().as_default(), tf1.Session() as session:
        noisy, candidate = (tf.constant(0.5 * uniform(name, (BATCH, window, 1))) for name in ("noisy", "real"))
        made, latent = generator.AEGenerator(owner)(noisy, is_ref=True, do_prelu=True)[:2]
        pair = tf.concat([candidate, noisy], axis=2)
        critic.discriminator(owner, pair, reuse=False)
        logits = critic.discriminator(owner, pair, reuse=True)
        shapes = assign_drawn(session)
        audio, latent, logits = session.run([made, latent, logits])
    arrays = {"audio": audio, "latent": latent, "logits": logits}
    return {"segan": (arrays, {"config": {}, "shapes": shapes})}


def dense(x: Any, units: int, activation_fn: Any = None) -> Any:
    """tf.contrib.layers.fully_connected, whose package is gone."""
    with tf1.variable_scope("fully_connected"):
        weights, biases = tf1.get_variable("weights", [x.shape[-1], units]), tf1.get_variable("biases", [units])
    return x @ weights + biases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", default="", help="one family")
    parser.add_argument("--full", action="store_true", help="the published sizes, too large for tests")
    chosen = parser.parse_args()
    tf1.disable_control_flow_v2()
    families: dict[str, Callable[[Path, bool], dict[str, Case]]] = {
        "wavegan": wavegan,
        "specgan": specgan,
        "gansynth": gansynth,
        "segan": segan,
    }
    folders = {"specgan": "wavegan", "gansynth": "magenta"}
    for family, run in families.items():
        if chosen.only in ("", family):
            for name, (arrays, facts) in run(chosen.code / folders.get(family, family), chosen.full).items():
                np.savez_compressed(chosen.output / f"{name}.npz", facts=json.dumps(facts), **arrays)
                print(name, {key: (value.shape, float(np.abs(value).max())) for key, value in arrays.items()})


if __name__ == "__main__":
    main()
