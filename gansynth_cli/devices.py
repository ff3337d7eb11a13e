"""The device that computes: chosen before TensorFlow starts, named and explained after. Imports no TensorFlow by itself."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Any

from .errors import UsageError

_CHOICE = re.compile(r"cpu|gpu(:\d+)?")
_LIBRARIES = ("libcudart.so.12", "libcublas.so.12", "libcufft.so.11", "libcudnn.so.9", "libcusparse.so.12", "libcusolver.so.11")

_chosen = ""


def choose_device(name: str) -> None:
    """Let TensorFlow see the chosen device only. Call it before TensorFlow is imported.

    Args:
        name: "cpu"; "gpu": every GPU; "gpu:1": the second GPU of those that CUDA_VISIBLE_DEVICES leaves; "": whatever TensorFlow finds.

    Raises:
        UsageError: Another name, or TensorFlow runs already and sees other devices.
    """
    global _chosen
    _chosen = name
    if not name:
        return
    if not _CHOICE.fullmatch(name):
        raise UsageError(f"--device is {name!r}; expected cpu, gpu, or gpu:N such as gpu:0.", hint="gan-audio info --devices lists them")
    if "tensorflow" in sys.modules and name == "cpu":
        _hide_gpus()
    elif name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    elif ":" in name:
        number = int(name.partition(":")[2])
        visible = [entry for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry.strip()]
        if visible and number >= len(visible):
            raise UsageError(f"--device is {name}; CUDA_VISIBLE_DEVICES={','.join(visible)} leaves {len(visible)} GPUs.")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[number] if visible else str(number)


def device_line() -> str:
    """Return where TensorFlow computes and why, in a line: "running on GPU 0 (NVIDIA H200)", or "running on the CPU (2 cores): no GPU seen:
    libcuda.so.1, the driver, is missing".

    Raises:
        UsageError: A GPU was chosen and there is none.
    """
    found = gpus()
    if found:
        return "running on " + ", ".join(f"GPU {gpu['number']} ({gpu['name']})" for gpu in found)
    if _chosen.startswith("gpu"):
        raise UsageError(f"--device is {_chosen}, but TensorFlow sees no GPU: {why_no_gpu()}.", hint="--device cpu, or see docs/gpu.md")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"running on the CPU ({cores} cores)" + ("" if _chosen == "cpu" else f", no GPU seen: {why_no_gpu()}")


def gpus() -> list[dict[str, Any]]:
    """Return the GPUs that TensorFlow sees: number, name, compute capability."""
    import tensorflow as tf

    found = []
    for number, device in enumerate(tf.config.list_physical_devices("GPU")):
        details = tf.config.experimental.get_device_details(device)
        capability = ".".join(map(str, details.get("compute_capability", ())))
        found.append({"number": number, "name": details.get("device_name", device.name), "compute_capability": capability})
    return found


def why_no_gpu() -> str:
    """Return the likeliest reason for which TensorFlow sees no GPU: the first thing that is missing, from the driver up."""
    import tensorflow as tf

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={hidden.strip()} hides them"
    if not tf.test.is_built_with_gpu_support():
        return "this TensorFlow is built for CPUs; pip install 'tensorflow[and-cuda]' brings one with CUDA"
    if not _loads("libcuda.so.1"):
        return "libcuda.so.1, the NVIDIA driver, is missing"
    for library in _LIBRARIES:
        if not _loads(library):
            return f"{library} is missing; pip install 'tensorflow[and-cuda]' brings it"
    return "the driver reports none"


def _loads(library: str) -> bool:
    import tensorflow as tf

    packages = Path(tf.__file__).parent.parent / "nvidia"  # where tensorflow[and-cuda] puts them, and TensorFlow looks
    if any(packages.glob(f"*/lib/{library}")):
        return True
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _hide_gpus() -> None:
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise UsageError("--device cpu comes too late: TensorFlow uses its devices already.") from error
