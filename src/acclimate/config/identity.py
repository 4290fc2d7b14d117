"""Identity of a run: the settings that determine its weights and the selection of its checkpoint.

It is used to resume, to compare runs, to find references for negative transfer, in sweeps and in benchmarks.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.config.messages import show
from acclimate.config.paths import NAMES_OR_PATHS, PATHS

Settings = dict[str, Any]
# Keys by a group and its class.
ClassKeys = Mapping[tuple[str, Any], Collection[str]]

# Folder and name of a run, and whether it is resumed.
RECORD_KEYS = ("folder", "name", "resume", "resume_with", "trust", "logger", "verbosity")
# Settings of speed, memory, folders and display, which change results at most by rounding.
SERVING = (
    "data.num_workers",
    "data.cache",
    "data.max_pixels",
    "data.feature_cache",
    "data.near_copies",
    "data.eval_batch_size",
    "trainer.accelerator",
    "trainer.compile",
    "trainer.default_root_dir",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.enable_checkpointing",
    "trainer.num_sanity_val_steps",
    "trainer.profiler",
    "trainer.detect_anomaly",
    "trainer.deterministic",
    "trainer.benchmark",
    "trainer.inference_mode",
)
# Callbacks that only report.
REPORTING = (
    "acclimate.training.callbacks.pictures.Pictures",
    "acclimate.training.callbacks.progress_bar.ProgressBar",
    "pytorch_lightning.callbacks.DeviceStatsMonitor",
    "pytorch_lightning.callbacks.LearningRateMonitor",
    "pytorch_lightning.callbacks.ModelSummary",
    "pytorch_lightning.callbacks.RichModelSummary",
    "pytorch_lightning.callbacks.RichProgressBar",
    "pytorch_lightning.callbacks.TQDMProgressBar",
)
# End of the key of a class.
CLASS = "._target_"
# Keys of `data` that determine how samples are loaded in training; all other keys determine the samples themselves.
LOADING = (
    "batch_size",
    "target_batch_size",
    "eval_batch_size",
    "num_workers",
    "epoch",
    "source_sampling",
    "domain_sampling",
    "source_view",
    "target_views",
    "strong_view",
    "fixed_views",
    "crop",
    "image_size",
    "feature_cache",
    "cache",
    "near_copies",
    "seed",
)
# Keys that runs of earlier versions lack, with the value that they had.
NEW_KEYS = {"trainer.on_nonfinite": "stop", "data.domain_sampling": "natural"}
# The length of a run, of which steps replace epochs.
EPOCHS, STEPS = "trainer.max_epochs", "trainer.max_steps"
# A resumed run may train longer and on another machine.
MACHINE = ("trainer", "callbacks")


def identity(config: Mapping[str, Any]) -> Settings:
    """Return the settings that determine a run's results, by their keys as typed.

    Defaults count as if they had been typed, and the notation of numbers, paths and lists does not matter. Paths below the
    run's folder are relative to it.

    Args:
        config: The resolved configuration; interpolations in old records are compared as text.
    """
    folder = str(config.get("folder") or "")
    settings = {
        key: _canonical(value, key, folder)
        for key, value in flat({key: node for key, node in config.items() if key not in RECORD_KEYS}).items()
        if key not in SERVING and not _reports(config, key)
    }
    if settings.get("data.seed") in (settings.get("seed"), "${seed}"):
        del settings["data.seed"]
    for key, value in NEW_KEYS.items():
        if settings.get(key) == value:
            del settings[key]
    if isinstance(steps := settings.get(STEPS), int) and steps > 0:
        settings.pop(EPOCHS, None)
    return settings


def identity_with(config: Mapping[str, Any], keys: Iterable[str]) -> Settings:
    """Return the identity of a run together with other settings, by which a sweep tells its jobs apart.

    Args:
        config: As for `identity`.
        keys: Groups and single keys, also those that do not determine results, such as `data.num_workers`; with or without signs.
    """
    folder, groups = str(config.get("folder") or ""), [key.lstrip("+") for key in keys]
    varying = {key: _canonical(value, key, folder) for key, value in flat(config).items() if _is_below(key, groups)}
    return varying | identity(config)


def without(settings: Settings, *keys: str) -> Settings:
    """Return the settings without whole groups, such as `method`, or single keys, such as `seed`."""
    return {key: value for key, value in settings.items() if not _is_below(key, keys)}


def differing(first: Settings, second: Settings) -> list[str]:
    """Return the keys whose values differ; a missing key equals null."""
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def digest(settings: Settings) -> str:
    """Return a short hash of settings.

    >>> digest({"seed": 0, "method.terms": None}) == digest({"seed": 0})
    True
    """
    known = {key: value for key, value in settings.items() if value is not None}
    return hashlib.blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=8).hexdigest()


def names_data(key: str) -> bool:
    """Return True if a setting determines the data of a run.

    >>> names_data("data.target"), names_data("data.batch_size"), names_data("optimizer.lr")
    (True, False, False)
    """
    group, _, name = key.partition(".")
    return group == "data" and name.partition(".")[0] not in LOADING


def varying_settings(settings: Sequence[Settings]) -> set[str]:
    """Return the keys of settings that are not equal in all runs."""
    return {key for other in settings[1:] for key in differing(settings[0], other)}


def varying_within_classes(settings: Sequence[Settings]) -> ClassKeys:
    """Return the keys that vary among runs with the same class of a group, by the group and its class.

    >>> sgd, adam = {"optimizer._target_": "SGD"}, {"optimizer._target_": "Adam"}
    >>> found = varying_within_classes([sgd | {"optimizer.lr": 1}, sgd | {"optimizer.lr": 2}, adam | {"optimizer.lr": 1}])
    >>> sorted(found.items())
    [(('optimizer', 'Adam'), set()), (('optimizer', 'SGD'), {'optimizer.lr'})]
    """
    same = defaultdict[tuple[str, Any], list[Settings]](list)
    for key in varying_settings(settings):
        if key.endswith(CLASS):
            for one in settings:
                same[key.removesuffix(CLASS), one.get(key)].append(one)
    return {(group, name): {key for key in varying_settings(alike) if _is_below(key, [group])} for (group, name), alike in same.items()}


def show_settings(settings: Settings, keys: Collection[str], within: ClassKeys | None = None) -> list[str]:
    """Return settings as typed; if the class of a group differs, its name stands for the keys of the group.

    Args:
        settings: Settings of a run.
        keys: The keys to show.
        within: Keys that the name of a class does not stand for, by `varying_within_classes` of all runs.
    """
    within = within or {}
    groups = [key.removesuffix(CLASS) for key in keys if key.endswith(CLASS)]
    shown = []
    for key in keys:
        group = key.removesuffix(CLASS)
        above = [other for other in groups if key.startswith(f"{other}.") and other != group]
        if key not in settings or any(key not in within.get((other, settings.get(f"{other}{CLASS}")), ()) for other in above):
            continue
        shown.append(f"{group}={_class_name(group, settings[key], within)}" if key.endswith(CLASS) else f"{key}={_text(settings[key])}")
    return sorted(shown)


def _class_name(group: str, name: Any, within: ClassKeys) -> str:
    """Return the last part of the name of a class, or all of it if another class in its place has the same last part."""
    short = str(name).rpartition(".")[2]
    return short if all(other == name or str(other).rpartition(".")[2] != short for place, other in within if place == group) else str(name)


def flat(node: Mapping[str, Any], path: str = "") -> Settings:
    """Flatten nested mappings to values by their keys as typed.

    >>> flat({"optimizer": {"lr": 0.1}, "seed": 1})
    {'optimizer.lr': 0.1, 'seed': 1}
    """
    values: Settings = {}
    for key, value in node.items():
        values |= flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return values


def _canonical(value: Any, key: str, folder: str) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _canonical(item, key, folder) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item, key, folder) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and folder and Path(value).is_relative_to(folder):
        return str(Path(value).relative_to(folder))
    if isinstance(value, str) and (key in PATHS or (key in NAMES_OR_PATHS and Path(value).exists())):
        return str(Path(value).resolve())
    return value


def _reports(config: Mapping[str, Any], key: str) -> bool:
    group, _, rest = key.partition(".")
    if group != "callbacks" or not isinstance(config["callbacks"], Mapping):
        return False
    node = config["callbacks"].get(rest.partition(".")[0])
    return isinstance(node, Mapping) and node.get("_target_") in REPORTING


def _is_below(key: str, groups: Sequence[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)


def _text(value: Any) -> str:
    return f"[{','.join(map(_text, value))}]" if isinstance(value, list) else show(value)
