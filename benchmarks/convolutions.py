"""What grouped and dilated convolutions cost to train, against the plain convolution of the same arithmetic.

    python benchmarks/convolutions.py [--clips 8] [--seconds 1.0]

Each row is one layer of a published critic or generator on clips of 8192 samples, forward and backward, with gradients of input and
kernel. "plain" reads the same input with the same taps and stride and has as many multiplications: a grouped layer of g groups has the
arithmetic of a plain one with a g-th of its filters, a dilated one that of the same layer without dilation. The ratio is that of
processor time (the median of repetitions, both measured in turn), so that another load on the machine does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf

from gansynth_cli.layers.convolution import _convolve, grouped_convolution

# name, samples, input channels, filters, groups, stride
GROUPED = (
    ("MelGAN D, layer 2", 8192, 16, 64, 4, 4),
    ("MelGAN D, layer 3", 2048, 64, 256, 16, 4),
    ("MelGAN D, layer 4", 512, 256, 1024, 64, 4),
    ("MelGAN D, layer 5", 128, 1024, 1024, 256, 4),
    ("HiFi-GAN MSD, layer 2", 8192, 128, 128, 4, 2),
    ("HiFi-GAN MSD, layer 3", 4096, 128, 256, 16, 2),
    ("HiFi-GAN MSD, layer 4", 2048, 256, 512, 16, 4),
    ("HiFi-GAN MSD, layer 5", 512, 512, 1024, 16, 4),
    ("HiFi-GAN MSD, layer 6", 128, 1024, 1024, 16, 1),
)
# name, samples, channels, taps, dilation
DILATED = (
    ("MelGAN G, 256 channels", 256, 256, 3, 9),
    ("MelGAN G, 128 channels", 2048, 128, 3, 9),
    ("MelGAN G, 64 channels", 4096, 64, 3, 9),
    ("MelGAN G, 32 channels", 8192, 32, 3, 9),
    ("HiFi-GAN G, 256 channels", 256, 256, 11, 5),
    ("HiFi-GAN G, 128 channels", 2048, 128, 7, 3),
    ("HiFi-GAN G, 32 channels", 8192, 32, 11, 5),
)
_TAPS = 41


def training_step(function, *arguments):
    """A compiled call of function and its gradient with respect to every argument."""

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            loss = tf.reduce_sum(tf.square(function(*arguments)))
        return tape.gradient(loss, arguments)

    step()
    return step


def compare(one, other, seconds: float) -> tuple[float, float]:
    """Median processor seconds of two functions, called in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or len(times[0]) < 5:
        for found, step in zip(times, (one, other), strict=True):
            started = time.process_time()
            [gradient.numpy() for gradient in step()]
            found.append(time.process_time() - started)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8, help="clips of a batch")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each pair, at least")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    totals = [0.0, 0.0]
    print(f"{'layer':28} {'GMAC':>6} {'ours':>9} {'plain':>9} {'ratio':>6}")
    for name, samples, channels, filters, groups, stride in GROUPED:
        x = tf.random.stateless_normal([options.clips, samples + _TAPS - 1, channels], [0, 1])
        kernel = tf.random.stateless_normal([_TAPS, channels // groups, filters], [0, 2])
        plain = tf.random.stateless_normal([_TAPS, channels, filters // groups], [0, 3])
        ours, other = compare(
            training_step(lambda x, k, g=groups, s=stride: grouped_convolution(x, k, g, s), x, kernel),
            training_step(lambda x, k, s=stride: tf.nn.conv1d(x, k, s, "VALID"), x, plain),
            options.seconds,
        )
        totals = [totals[0] + ours, totals[1] + other]
        arithmetic = 3e-9 * options.clips * (samples // stride) * _TAPS * channels * filters / groups
        print(f"{name:28} {arithmetic:6.2f} {1e3 * ours:6.1f} ms {1e3 * other:6.1f} ms {ours / other:6.2f}", flush=True)
    print(f"{'grouped, together':28} {'':6} {1e3 * totals[0]:6.1f} ms {1e3 * totals[1]:6.1f} ms {totals[0] / totals[1]:6.2f}", flush=True)
    totals = [0.0, 0.0]
    for name, samples, channels, taps, dilation in DILATED:
        x = tf.random.stateless_normal([options.clips, samples + dilation * (taps - 1), channels], [0, 1])
        near = x[:, : samples + taps - 1]
        kernel = tf.random.stateless_normal([taps, channels, channels], [0, 2])
        ours, other = compare(
            training_step(lambda x, k, d=dilation: _convolve(x, k, 1, d), x, kernel),
            training_step(lambda x, k: tf.nn.conv1d(x, k, 1, "VALID"), near, kernel),
            options.seconds,
        )
        totals = [totals[0] + ours, totals[1] + other]
        arithmetic = 3e-9 * options.clips * samples * taps * channels * channels
        print(f"{name:28} {arithmetic:6.2f} {1e3 * ours:6.1f} ms {1e3 * other:6.1f} ms {ours / other:6.2f}", flush=True)
    print(f"{'dilated, together':28} {'':6} {1e3 * totals[0]:6.1f} ms {1e3 * totals[1]:6.1f} ms {totals[0] / totals[1]:6.2f}")


if __name__ == "__main__":
    main()
