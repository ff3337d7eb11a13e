"""What checkpoints say besides their arrays, under one name each whoever wrote them."""

from __future__ import annotations

from typing import Any

from .contents import LazyArray

_STEPS = ("global_step", "steps", "step", "iteration", "iter")
_EPOCHS = ("epoch", "epochs")
_CONFIGS = ("hyper_parameters", "config", "hparams", "h", "args", "model_args", "cfg")


def training_facts(tree: Any) -> dict[str, Any]:
    """Find step, epoch and configuration at the top of a checkpoint, where they are.

    Returns:
        "step" and "epoch" (whole numbers) and "config" (a dict without arrays), each only if found.
    """
    facts: dict[str, Any] = {}
    if not isinstance(tree, dict):
        return facts
    for fact, keys in (("step", _STEPS), ("epoch", _EPOCHS)):
        found = [tree[key] for key in keys if type(tree.get(key)) is int]
        if found:
            facts[fact] = found[0]
    for key in _CONFIGS:
        value = tree.get(key)
        if isinstance(value, dict) and value and not any(isinstance(part, LazyArray) for part in value.values()):
            facts["config"] = value
            break
    return facts
