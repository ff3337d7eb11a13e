"""What is known of a data set once its recordings have been cut: its facts, and the warnings that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ... import __version__
from ..dataset_info import DatasetInfo, SplitInfo, fingerprint_of
from ..shards import NOISE_SPLITS, SPLITS
from .plan import PlanFacts
from .report import NothingToTrain
from .work import Outcome


def facts_of(plan: PlanFacts, outcomes: list[Outcome], shards: Callable[[str], list[dict[str, Any]]] | None) -> DatasetInfo:
    """Return the facts of a data set with the shards of each split; without shards those that it would have."""
    kept = sorted((outcome for outcome in outcomes if outcome.clips), key=lambda outcome: outcome.name)
    splits = {}
    for split in SPLITS + NOISE_SPLITS:
        mine = [outcome for outcome in kept if outcome.split == split]
        if not mine:
            continue
        counts: Counter[str] = Counter()
        for outcome in mine:
            counts[outcome.label] += outcome.clips
        splits[split] = SplitInfo(
            clips=sum(outcome.clips for outcome in mine),
            seconds=round(sum(outcome.seconds for outcome in mine), 6),
            shards=shards(split) if shards else [],
            label_counts={name: counts[name] for name in plan.label_names if counts[name]},
            attribute_counts=attribute_counts(mine, plan.attributes),
        )
    skipped = [{"path": o.name, "reason": o.failed or o.dropped, "failed": bool(o.failed)} for o in outcomes if not o.clips]
    skipped += [{"path": name, "reason": reason, "failed": False} for name, reason in plan.left_out]
    cut = plan.options.cut
    return DatasetInfo(
        name=plan.options.name,
        sample_rate=cut.sample_rate,
        channels=cut.channels,
        clip_samples=cut.clip_samples,
        labels=plan.label_names,
        splits=splits,
        split_by=plan.options.splits.split_by,
        prepared_with=plan.signature | {"version": __version__},
        sources=[
            {"path": o.name, "sha256": o.sha256, "split": o.split, "clips": o.clips, "label": o.label, "speaker": o.speaker}
            | ({"attributes": o.attributes} if o.attributes else {})
            for o in kept
        ],
        skipped=sorted(skipped, key=lambda entry: entry["path"]),
        fingerprint=fingerprint_of(splits) if shards else "",
        pairs=plan.options.pairs,
        attributes=plan.attributes,
    )


def warnings_of(plan: PlanFacts, outcomes: list[Outcome]) -> list[str]:
    """Return sentences for the user on what the labels left out and on what the outcomes lack."""
    kept = [outcome for outcome in outcomes if outcome.clips]
    return [
        *plan.warnings,
        *_untrained(plan, kept),
        *_empty_splits(plan, kept),
        *_empty_labels(plan, kept),
        *_copies(kept),
        *_inverted(kept),
    ]


def _untrained(plan: PlanFacts, kept: list[Outcome]) -> list[str]:
    """A sentence for each attribute that has classes without a clip in the train split."""
    trained = attribute_counts([outcome for outcome in kept if outcome.split == "train"], plan.attributes)
    sentences = []
    for name, values in plan.attributes.items():
        missing = [value for value in values if value not in trained[name]]
        if missing:
            sentences.append(f"no clip in the train split has the {name} {', '.join(missing[:8])}{', ...' if len(missing) > 8 else ''}.")
    return sentences


def _empty_splits(plan: PlanFacts, kept: list[Outcome]) -> list[str]:
    sentences = []
    counts = Counter(outcome.split for outcome in kept)
    wanted = {"validation": plan.options.splits.validation, "test": plan.options.splits.test}
    official = plan.options.splits.split_by == "auto" and plan.official_splits
    for split, fraction in wanted.items():
        if fraction and not counts[split] and not official:
            sentences.append(f"the {split} split got no recording; with few of them that happens.")
        if plan.has_noise and fraction and not counts[f"noise-{split}"]:
            sentences.append(f"the noise-{split} split got no recording; with few of them that happens.")
    if plan.has_noise and not counts["noise-train"]:
        sentences.append("the noise-train split got no recording: training has only synthetic noise to mix in.")
    return sentences


def _empty_labels(plan: PlanFacts, kept: list[Outcome]) -> list[str]:
    sentences = []
    labelled = {outcome.label for outcome in kept}
    trained = {outcome.label for outcome in kept if outcome.split == "train"}
    for name in plan.label_names:
        if name not in labelled:
            sentences.append(f"the label {name!r} got no clip.")
        elif name not in trained:
            sentences.append(f"the label {name!r} got no clip in the train split.")
    return sentences


def _inverted(kept: list[Outcome]) -> list[str]:
    names = [outcome.name for outcome in kept if outcome.inverted]
    if not names:
        return []
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return [f"{len(names)} stereo recordings have channels of opposite polarity; the second was inverted before mixing down: {some}."]


def _copies(kept: list[Outcome]) -> list[str]:
    sentences = []
    by_content: dict[str, set[str]] = {}
    for outcome in kept:
        by_content.setdefault(outcome.sha256, set()).add(outcome.label)
    copies = len(kept) - len(by_content)
    if copies:
        sentences.append(f"{copies} recordings are copies of others.")
    ambiguous = sum(len(labels) > 1 for labels in by_content.values())
    if ambiguous:
        sentences.append(f"{ambiguous} recordings occur under more than one label.")
    return sentences


def nothing_to_train(outcomes: list[Outcome]) -> NothingToTrain:
    """Return the error of a data set whose train split is empty."""
    if any(outcome.clips for outcome in outcomes):
        return NothingToTrain(
            "The train split got no clip: all recordings fell into validation and test.",
            hint="use --validation 0 --test 0, or more recordings",
        )
    reasons = Counter(outcome.failed or outcome.dropped for outcome in outcomes)
    listed = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(5))
    example = next(iter(sorted(outcomes, key=lambda outcome: outcome.name)))
    return NothingToTrain(f"None of the {len(outcomes)} recordings gave a clip: {listed}. The first is {example.name}.")


def attribute_counts(outcomes: list[Outcome], attributes: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """Return attribute -> class name -> clips."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in attributes}
    for outcome in outcomes:
        for name, value in outcome.attributes.items():
            counts[name][value] += outcome.clips
    return {name: {value: counts[name][value] for value in values if counts[name][value]} for name, values in attributes.items()}
