"""Saved VAEs of this package: a training can begin with one though its run folder is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...data.foreign import ArrayMismatchError, ForeignFileError
from ...data.statistics import statistics_key
from ...errors import RunError
from ...feature_specs import LogSpectrogram
from ...models.model_file import ModelFile, find_model
from ...recipe import load_recipe
from ..published import Answers, Placement, Plan, Source

_SCALE = ("fft", "hop", "log_offset", "clip_deviations")  # of the layer back to audio, and of [model]


class SavedVAELayout:
    """A `.keras` file of a VAE of spectrograms. Its recipe is the one that its provenance names."""

    family = "vae"
    title = "a saved VAE (gan-audio)"
    files = ()  # in a folder, such a file is not looked for

    def recognises(self, source: Source) -> bool:
        if source.path.suffix != ".keras":
            return False
        try:
            found = find_model(source.path)
        except RunError as error:
            raise ForeignFileError(source.path, error.message, error.hint) from error
        return found.class_name == "ClipGenerator" and found.provenance.get("family") == "vae" and "fft" in _to_audio(found)

    def plan(self, source: Source, answers: Answers) -> Plan:
        model = find_model(source.path)
        source.use(source.path)
        scale, config, name = _to_audio(model), model.config, str(model.provenance.get("recipe", ""))
        name = name if name.startswith("vae/") else "vae/base"
        recipe = load_recipe(name)
        bands, rate = scale.get("mel_bands", 0), config["sample_rate"]
        frames = -(-config["clip_samples"] // scale["hop"])
        spec = LogSpectrogram(scale["fft"], scale["hop"], frames, scale["log_offset"], bands, rate if bands else 0)
        key = statistics_key(spec, recipe.data.peak_normalize, recipe.data.peak)
        names = {
            "label": config["labels"],
            "pitch": config["pitches"],
            "instrument": config["instruments"],
            "velocity": config["velocities"],
        }
        classes = {condition: [str(one) for one in found] for condition, found in names.items() if found}
        changes: dict[str, Any] = {f"model.{key}": scale[key] for key in _SCALE}
        changes |= {"model.frames": frames, "model.mel_bands": bands, "model.latent_dim": config["latent"]["dim"]}
        changes |= {"model.conditions": list(classes), "data.sample_rate": rate, "data.clip_samples": config["clip_samples"]}

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            loaded, placement = model.load(), Placement()
            saved = {"decoder": loaded.network, "encoder": loaded.encoder}
            for network, holder in saved.items():
                for variable, other in zip(networks[network].variables, _matching(holder, networks[network], source), strict=True):
                    placement.put(variable, other.numpy())
            return placement

        labels = classes.pop("label", [])
        return Plan(
            name,
            changes,
            assign,
            fresh=("deviation",) if "losses.deviation" not in changes and not getattr(recipe.losses, "deviation", 0.0) else (),
            facts={"labels": labels, "attributes": classes, "statistics": {key: {name: scale[name] for name in ("mean", "deviation")}}},
            read=[f"recipe: {name}; weights of encoder and decoder, {len(labels) or 'no'} labels"],
            no_proof="the source is a file of this package, whose network it is",
        )


PUBLISHED = (SavedVAELayout(),)


def _to_audio(found: ModelFile) -> dict[str, Any]:
    layer = found.config.get("to_audio")
    return dict(layer.get("config", {})) if isinstance(layer, dict) else {}


def _matching(holder: Any, network: Any, source: Source) -> list[Any]:
    """Return the variables of a saved network in the order of a built one; layers before them, such as the spectrogram, have none."""
    found = list(holder.variables)
    if [tuple(one.shape) for one in found] != [tuple(one.shape) for one in network.variables]:
        raise ArrayMismatchError(
            source.path, f"has other layers than the {network.name} of its recipe.", "its recipe was changed with --set when it was trained"
        )
    return found
