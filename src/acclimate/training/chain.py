"""Chains of runs, each of which starts from the classifier of the previous one."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from acclimate.config.paths import with_absolute_paths
from acclimate.config.untrusted import refuse_strangers, targets
from acclimate.errors import ConfigError, command
from acclimate.files.atomic_files import write_json
from acclimate.runs.saved import placed

STAGES = ("first", "second", "third")
# first.method=simclr, or with a sign of Hydra before or after the name of the stage: +second.terms=mcc, second.+terms=mcc
STAGE_WORD = re.compile(rf"([+~]{{0,2}})({'|'.join(STAGES)})\.(.+)")
RECORD = "chain.json"


def divide(words: Sequence[str]) -> dict[str, list[str]]:
    """Divide overrides by stage: each stage gets those that begin with its name, and those without the name of a stage.

    Overrides of a single stage take precedence over those of all stages.

    Raises:
        ConfigError: If there are fewer than two stages, a stage is missing, or there is a flag.

    >>> divide(["first.method=simclr", "second.method=dann", "seed=1", "first.seed=2"])
    {'first': ['method=simclr', 'seed=2'], 'second': ['seed=1', 'method=dann']}
    """
    shared, own = _sort(words)
    if len(own) < 2 or set(own) != {*STAGES[: len(own)]}:
        named = ", ".join(stage for stage in STAGES if stage in own) or "none"
        raise ConfigError(f"A chain needs a first and a second stage, but has: {named}. Type first.method=simclr second.method=dann.")
    return {stage: [*(word for word in shared if _key(word) not in map(_key, own[stage])), *own[stage]] for stage in STAGES[: len(own)]}


def _sort(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    shared, own = [], dict[str, list[str]]()
    for word in words:
        matched = STAGE_WORD.fullmatch(word)
        if matched:
            own.setdefault(matched[2], []).append(matched[1] + matched[3])
        else:
            shared.append(word)
    flags = [word for word in words if word.startswith("-")]
    if flags:
        raise ConfigError(f"acclimate chain does not take {flags[0]}. Train the stages one by one: acclimate train init_from=RUN.")
    return shared, own


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


class Stage(NamedTuple):
    """A run of a chain: its resolved configuration and its overrides as typed."""

    config: dict[str, Any]
    overrides: list[str]


def compose_stages(words: Sequence[str], folder: Path, config_dir: Path | None = None) -> dict[str, Stage]:
    """Compose the stages of a chain, each of which starts from the previous one.

    Args:
        words: Overrides, as for `divide`.
        folder: The folder of the chain.
        config_dir: A folder with additional configs, as for `--config-dir`.

    Raises:
        ConfigError: If a stage cannot be composed.
    """
    from acclimate.config.compose import compose_sweep

    stages: dict[str, Stage] = {}
    for name, overrides in divide(words).items():
        composed = list(compose_sweep(overrides, folder=Path.cwd() / folder / name, config_dir=config_dir).values())
        if len(composed) > 1:
            raise ConfigError(f"The {name} stage has several values for one key, but a chain has one run for each stage.")
        stages[name] = Stage(composed[0], overrides)
    return _linked(stages, folder)


def _linked(stages: Mapping[str, Stage], folder: Path) -> dict[str, Stage]:
    """Let each stage but the first start from the previous one and trust what the user trusts there."""
    linked: dict[str, Stage] = {}
    trust: set[str] = set()
    for name, (config, overrides) in stages.items():
        origin = {"init_from": str(folder / list(linked)[-1])} if linked else {}
        trust = trust.union(targets(config), config.get("trust") or [])
        typed = [*overrides, *(f"{key}={value}" for key, value in origin.items())]
        linked[name] = Stage({**config, **origin, "resume": True, "trust": sorted(trust)}, typed)
    return linked


def write_record(folder: Path, words: Sequence[str], stages: Mapping[str, Stage]) -> None:
    """Write the stages of a chain to its folder, from which it can be resumed.

    Raises:
        ConfigError: If the folder already contains a chain or a run.
    """
    if (folder / RECORD).exists() or (folder / ".hydra").exists():
        raise ConfigError(
            f"{folder} already contains a chain or a run. Continue it with {command('chain', f'resume={folder}')}, "
            "or choose another folder: hydra.run.dir=DIR."
        )
    write_json(
        folder / RECORD, {"words": list(words), "stages": {name: with_absolute_paths(stage.config) for name, stage in stages.items()}}
    )


def stages_to_resume(folder: Path, words: Sequence[str], trust: Sequence[str]) -> dict[str, Stage]:
    """Return the stages of a chain to resume from its record, which is plain data: saved overrides are not replayed.

    Args:
        folder: The folder of the chain.
        words: Overrides that change all stages, or those whose names they begin with.
        trust: As for `refuse_strangers`.

    Raises:
        ConfigError: If the folder is not that of a chain, or its record contains targets that are not trusted.
    """
    from acclimate.config.compose import override

    file = folder / RECORD
    if not file.is_file():
        raise ConfigError(f"{folder} is not the folder of a chain: it has no {RECORD}. Type resume=outputs/DATE/TIME-chain.")
    try:
        record = json.loads(file.read_text())
        saved = record["stages"]
        named = [name for name in STAGES if name in saved]
        if len(named) < 2 or set(named) != set(saved):
            raise ValueError("it needs a first and a second stage")
        typed = divide([*map(str, record["words"]), *words])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is not the record of a chain: {error}. Start the chain again: hydra.run.dir=DIR.") from error
    shared, own = _sort(words)
    stages = {}
    for name in named:
        config = refuse_strangers(saved[name], f"{name} in {file}", trust)
        changes = [*(word for word in shared if _key(word) not in map(_key, own.get(name, []))), *own.get(name, [])]
        changed = placed(config, folder / name, partial(override, overrides=changes))
        stages[name] = Stage({**changed, "trust": list(trust)}, typed.get(name, []))
    return _linked(stages, folder)
