"""Files of PyTorch (`torch.save` of any age, Lightning's .ckpt, TorchScript) without PyTorch, and without running anything in them.

What is decided about the names in such a file (they are looked up nowhere; see `pickle_data`):

- Tensors, storages, parameters, OrderedDict and other plain containers, numpy's arrays, paths, argparse.Namespace: read as data.
- Whatever can run code, touch files or read a second pickle (os, subprocess, builtins.eval, importlib, torch.hub, ...): refused on
  sight in every kind of file, with the name, though it could not act here: the file is hostile.
- Any other class: refused in a plain file, which has no use for one. A Lightning checkpoint (a dict with "state_dict" and
  "pytorch-lightning_version") is full of its callbacks' and author's classes: there they are inert, and arrays inside them are not taken.
- TorchScript: the classes below `__torch__` are the modules; their attributes are walked for tensors, their code is not read.
"""

from __future__ import annotations

import os
from typing import Any

from .contents import Contents, SourceFile
from .facts import training_facts
from .pickle_data import PickleDamage
from .problems import ForeignFileError
from .torch_containers import TorchZip, load_legacy
from .torch_tensors import TorchRules
from .tree import SCRIPT, arrays_in, plain

_LIGHTNING = "pytorch-lightning_version"


def read_torch_zip(path: str | os.PathLike, *, ignore_classes: bool = False) -> Contents:
    """Read a file of PyTorch 1.6 or later, a Lightning checkpoint or a TorchScript archive.

    Args:
        path: The file.
        ignore_classes: Take classes that are not known as inert in every kind of file, as in a Lightning checkpoint. Dangerous
            names are refused all the same.

    Raises:
        UnsafeFileError: It names code, or a class that does not belong there.
        ForeignFileError: Damaged, truncated, or without arrays.
    """
    source = SourceFile(path)
    archive = TorchZip(source)
    rules = TorchRules(path, archive.unpacked_size)
    return _contents(source, rules, lambda: archive.load(rules), archive.is_script, ignore_classes)


def read_torch_legacy(path: str | os.PathLike, *, ignore_classes: bool = False) -> Contents:
    """Read a file of PyTorch before 1.6, or of `_use_new_zipfile_serialization=False`. Arguments and errors as `read_torch_zip`."""
    source = SourceFile(path)
    rules = TorchRules(path, source.size)
    return _contents(source, rules, lambda: load_legacy(source, rules), False, ignore_classes)


def _contents(source: SourceFile, rules: TorchRules, load: Any, script: bool, ignore_classes: bool) -> Contents:
    try:
        value = load()
        lightning = isinstance(value, dict) and _LIGHTNING in value and isinstance(value.get("state_dict"), dict)
        if script:
            rules.unknown = {name: None for name in rules.unknown if not name.startswith(f"{SCRIPT}.")}
        if not (lightning or ignore_classes):
            rules.refuse_unknown(
                "classes of a program, where a file of weights holds numbers only",
                "have it saved again as torch.save(model.state_dict(), FILE), or as safetensors, where the program is at hand",
            )
        tree = plain(value)
        entries = arrays_in(tree)
    except PickleDamage as error:
        raise ForeignFileError(source.path, f"cannot be read: {error}.", "download it again, and compare its SHA-256") from error
    if not entries:
        what = "its parameters may be folded into its program; have its authors save the state dict" if script else None
        raise ForeignFileError(source.path, "holds no tensors.", what)
    facts = training_facts(tree)
    if lightning:
        facts["lightning"] = str(tree[_LIGHTNING])
    if rules.unknown:
        facts["ignored"] = list(rules.unknown)
    return Contents("torchscript" if script else "pytorch", entries, (source.path,), facts, tree)
