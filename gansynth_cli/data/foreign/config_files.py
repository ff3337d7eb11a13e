"""Configurations beside published checkpoints, as plain dicts: JSON, YAML of any tags, and the args.txt of WaveGAN's training folders."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from ...errors import MissingExtraError
from .contents import SourceFile
from .problems import ForeignFileError, shown
from .sniff import refuse_placeholders

MAX_CONFIG_BYTES = 4 << 20
_PYTHON_TAGS = ("tag:yaml.org,2002:python/", "!")
_FLOAT = re.compile(r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)[eE][-+]?\d+")  # 1e-4 is a number in YAML 1.2 and to everybody; not to YAML 1.1
_LINE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*,.*")


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """Read a configuration: HiFi-GAN's config.json, config.yml, MelGAN's args.yml, a Lightning hparams.yaml, WaveGAN's args.txt.

    What it is, its content says. Tags of YAML that ask for Python objects are ignored and what is under them is read as plain data: a
    pickled argparse.Namespace is a dict, `!!python/tuple` a list, `!!python/object/apply:os.system [x]` a list of one string.

    Returns:
        Dicts with string keys, lists, strings, numbers, bools and None.

    Raises:
        MissingExtraError: It is YAML, and PyYAML is not installed.
        ForeignFileError: Missing, too large, damaged, or not a mapping.
    """
    source = SourceFile(path)
    if source.size > MAX_CONFIG_BYTES:
        raise ForeignFileError(path, f"has {source.size} bytes, where a configuration has a few thousand.", "give the configuration's file")
    data = source.read(0, source.size)
    refuse_placeholders(source, data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ForeignFileError(path, "is not text, so no configuration.") from error
    found = _parsed(source, text)
    if not isinstance(found, dict):
        raise ForeignFileError(path, "is not a configuration: it has no keys with values.")
    return found


def _parsed(source: SourceFile, text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return _plain(source, json.loads(text))
        except (ValueError, RecursionError) as error:
            if source.path.suffix.lower() == ".json":
                raise ForeignFileError(source.path, f"is not valid JSON ({shown(str(error))}).") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(_LINE.fullmatch(line) for line in lines):
        return {key: _value(value) for key, _, value in (line.partition(",") for line in lines)}
    return _plain(source, _yaml(source, text))


def _value(text: str) -> Any:
    """A value as Python's str() wrote it."""
    constants = {"True": True, "False": False, "None": None}
    if text in constants:
        return constants[text]
    if re.fullmatch(r"[-+]?\d{1,18}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d{1,3})?", text):
        return float(text)
    return text


def _yaml(source: SourceFile, text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("Reading YAML configurations", "import") from error

    class Loader(yaml.SafeLoader):
        """The safe loader, deaf to the tags of Python objects."""

    def untagged(loader: Any, suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node) or suffix  # `!!python/name:torch.nn.ReLU ''` has its value in the tag

    for prefix in _PYTHON_TAGS:
        Loader.add_multi_constructor(prefix, untagged)
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    try:
        return yaml.load(text, Loader)  # a SafeLoader, whose only additions are above
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, OverflowError) as error:
        raise ForeignFileError(source.path, f"is no configuration that can be read ({shown(' '.join(str(error).split()))}).") from error


def _plain(source: SourceFile, value: Any) -> Any:
    """Keys to strings, dates and the like to strings; bounded, since aliases of YAML can multiply without end."""
    left = [200_000]

    def convert(value: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > 50:
            raise ForeignFileError(source.path, "is nested too deeply for a configuration, or refers to itself.")
        if isinstance(value, dict):
            return {key if isinstance(key, str) else str(key)[:200]: convert(part, depth + 1) for key, part in value.items()}
        if isinstance(value, (list, tuple, set)):
            return [convert(part, depth + 1) for part in value]
        return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)[:200]

    return convert(value, 0)
