"""What says which tables a family's recipe has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NoLosses:
    """`[losses]` of a family whose only loss is the adversarial one."""


@dataclass(frozen=True)
class FamilySchema:
    """The tables of a family: `[model]`, `[losses]`, and the names that `[optimizers.NAME]` may have. `use` is how a trained run is
    used: the command's arguments, `{run}` being its folder."""

    model: type
    losses: type = NoLosses
    optimizers: tuple[str, ...] = ("generator", "critic")
    use: str = "generate {run} -n 64 -o clips/"
