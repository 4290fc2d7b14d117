"""Runs in a row, each of which starts from the classifier of the one before."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from acclimate.config.untrusted import refuse_strangers, targets
from acclimate.errors import ConfigError
from acclimate.files.atomic_files import write_json
from acclimate.runs.saved import placed

STAGES = ("first", "second", "third")
# first.method=simclr, and with a sign of Hydra in front or behind: +second.terms=mcc, second.+terms=mcc
STAGE_WORD = re.compile(rf"([+~]{{0,2}})({'|'.join(STAGES)})\.(.+)")
RECORD = "chain.json"


def divide(words: Sequence[str]) -> dict[str, list[str]]:
    """The overrides of each stage: those that begin with its name, and those without such a beginning.

    What a stage sets for itself takes the place of what all would have.

    Raises:
        ConfigError: If there are fewer than two stages, one is left out, or there is a flag.

    >>> divide(["first.method=simclr", "second.method=dann", "seed=1", "first.seed=2"])
    {'first': ['method=simclr', 'seed=2'], 'second': ['seed=1', 'method=dann']}
    """
    shared, own = _sort(words)
    if len(own) < 2 or set(own) != {*STAGES[: len(own)]}:
        named = ", ".join(stage for stage in STAGES if stage in own) or "none"
        raise ConfigError(f"A chain has a first and a second stage, but given are: {named}. Type first.method=simclr second.method=dann.")
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
    """A run of a chain: its resolved configuration, and what was typed for it."""

    config: dict[str, Any]
    overrides: list[str]


def compose_stages(words: Sequence[str], folder: Path) -> dict[str, Stage]:
    """The stages, each of which starts from the one before.

    Args:
        words: As for `divide`.
        folder: Of the chain.

    Raises:
        ConfigError: If a stage cannot be composed.
    """
    from acclimate.config.compose import compose_sweep

    stages: dict[str, Stage] = {}
    for name, overrides in divide(words).items():
        composed = list(compose_sweep(overrides, folder=Path.cwd() / folder / name).values())
        if len(composed) > 1:
            raise ConfigError(f"The {name} stage has several values for one key, but a chain has one run for each stage.")
        stages[name] = Stage(composed[0], overrides)
    return _linked(stages, folder)


def _linked(stages: Mapping[str, Stage], folder: Path) -> dict[str, Stage]:
    """Each stage but the first starts from the one before, of which it trusts what the user trusts there."""
    linked: dict[str, Stage] = {}
    trust: set[str] = set()
    for name, (config, overrides) in stages.items():
        origin = {"init_from": str(folder / list(linked)[-1])} if linked else {}
        trust = trust.union(targets(config), config.get("trust") or [])
        typed = [*overrides, *(f"{key}={value}" for key, value in origin.items())]
        linked[name] = Stage({**config, **origin, "resume": True, "trust": sorted(trust)}, typed)
    return linked


def write_record(folder: Path, words: Sequence[str], stages: Mapping[str, Stage]) -> None:
    """Keeps a chain's stages in its folder, to go on with them.

    Raises:
        ConfigError: If there is a chain or a run already.
    """
    if (folder / RECORD).exists() or (folder / ".hydra").exists():
        raise ConfigError(
            f"{folder} holds a chain or a run already. Continue it with acclimate chain resume={folder}, "
            "or choose another folder: hydra.run.dir=DIR."
        )
    write_json(folder / RECORD, {"words": list(words), "stages": {name: stage.config for name, stage in stages.items()}})


def stages_to_resume(folder: Path, words: Sequence[str], trust: Sequence[str]) -> dict[str, Stage]:
    """The stages of a chain that goes on, from its record, which is plain data: no word of it is replayed.

    Args:
        folder: Of the chain.
        words: What the user changes, in all stages or in those that a word names.
        trust: As for `refuse_strangers`.

    Raises:
        ConfigError: If the folder is not that of a chain, or its record names what is not to be built.
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
        raise ConfigError(f"{file} is not the record of a chain: {error}. Start the chain anew: hydra.run.dir=DIR.") from error
    shared, own = _sort(words)
    stages = {}
    for name in named:
        config = refuse_strangers(saved[name], f"{name} in {file}", trust)
        changes = [*(word for word in shared if _key(word) not in map(_key, own.get(name, []))), *own.get(name, [])]
        changed = placed(config, folder / name, partial(override, overrides=changes))
        stages[name] = Stage({**changed, "trust": list(trust)}, typed.get(name, []))
    return _linked(stages, folder)
