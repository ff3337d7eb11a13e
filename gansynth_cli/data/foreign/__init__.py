"""Arrays by name out of other programs' files: PyTorch, safetensors, ONNX, TensorFlow, HDF5 and numpy. Runs nothing that a file names.

Needs no PyTorch. The extra `import` brings `safetensors`, `onnx` and `pyyaml`; the rest comes with TensorFlow.

    from gansynth_cli.data.foreign import Assignment, open_arrays, read_config

    arrays = open_arrays("UNIVERSAL_V1/g_02500000")   # ForeignArrays: a mapping from names to numpy arrays, read when asked for
    arrays.kind, arrays.sha256, arrays.facts          # "pytorch", "...", {"step": ..., "epoch": ..., "config": {...}} as far as it says
    arrays.shapes["generator.conv_pre.weight_v"]      # (512, 80, 7), without reading it
    config = read_config("UNIVERSAL_V1/config.json")  # a plain dict; YAML's Python tags are ignored

    weights = Assignment(arrays.under("generator").without("module."))
    pre = weights.kernel("conv_pre", (512, 80, 7))    # weight_g and weight_v, parametrizations, or a plain weight: all three forms
    pre.direction, pre.scale, pre.kernel              # v, g [512], and g v / |v|
    bias = weights.take("conv_pre.bias", (512,))      # names the first array that is missing, of another shape, or not finite
    weights.finish(ignore=["mel_spec.*"])             # an error if anything else is left over

- `open_arrays(path, ignore_classes=False) -> ForeignArrays`: the format is told by the content. A TensorFlow checkpoint may be given as a
  folder, a prefix, or one of its files. `under(prefix)` and `without(prefix)` give parts with shorter names, `not_finite()` names the
  arrays with NaN, `hashes` has the SHA-256 of each file, `tree` the nested structure.
- `Assignment(arrays)`: `has`, `take(name, shape)`, `kernel(layer, shape)`, `spectral(layer, shape)`, `left`, `finish(ignore)`.
- `read_config(path) -> dict`: JSON, YAML, WaveGAN's args.txt.
- `read_moments(path) -> (mean, deviation)`: SpecGAN's moments.pkl, ParallelWaveGAN's stats.h5 and stats.npy.
- Errors: `ForeignFileError` and below it `UnsafeFileError` (`.name`), `MissingArrayError`, `ArrayMismatchError`; `MissingExtraError`.

Layouts are the file's own (PyTorch's Conv1d is [out, in, k]); turning them is the caller's part. bfloat16 and 8-bit floats are
given as float32. What is promised of a hostile file: no code of its choice runs, no name is imported, memory stays within
a few times the file's size, and the answer is an error of this package. HDF5 is the exception: libhdf5 parses it, and has had memory
errors of its own; take .h5 files from people you trust.
"""

from .arrays import ForeignArrays, open_arrays
from .assignment import Assignment, NormalizedKernel, SpectralKernel
from .config_files import read_config
from .contents import LazyArray
from .moments import read_moments
from .problems import ArrayMismatchError, ForeignFileError, MissingArrayError, UnsafeFileError

__all__ = [
    "ArrayMismatchError",
    "Assignment",
    "ForeignArrays",
    "ForeignFileError",
    "LazyArray",
    "MissingArrayError",
    "NormalizedKernel",
    "SpectralKernel",
    "UnsafeFileError",
    "open_arrays",
    "read_config",
    "read_moments",
]
