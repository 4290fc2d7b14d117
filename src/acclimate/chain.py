"""Runs in a row, each of which starts from the classifier of the one before."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from acclimate.atomic_files import write_json
from acclimate.errors import ConfigError

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
    if len(own) < 2 or set(own) != {*STAGES[: len(own)]}:
        named = ", ".join(stage for stage in STAGES if stage in own) or "none"
        raise ConfigError(f"A chain has a first and a second stage, but given are: {named}. Type first.method=simclr second.method=dann.")
    return {stage: [*(word for word in shared if _key(word) not in map(_key, own[stage])), *own[stage]] for stage in STAGES[: len(own)]}


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def write_record(folder: Path, words: Sequence[str]) -> None:
    """Keeps the words of a chain in its folder, to go on with it.

    Raises:
        ConfigError: If there is a chain or a run already.
    """
    if (folder / RECORD).exists() or (folder / ".hydra").exists():
        raise ConfigError(
            f"{folder} holds a chain or a run already. Continue it with acclimate chain resume={folder}, "
            "or choose another folder: hydra.run.dir=DIR."
        )
    write_json(folder / RECORD, list(words))


def read_record(folder: Path) -> list[str]:
    """The words of a chain.

    Raises:
        ConfigError: If the folder is not that of a chain, or its record is damaged.
    """
    if not (folder / RECORD).is_file():
        raise ConfigError(f"{folder} is not the folder of a chain: it has no {RECORD}. Type resume=outputs/DATE/TIME-chain.")
    try:
        words = json.loads((folder / RECORD).read_text())
    except ValueError as error:
        raise ConfigError(f"{folder / RECORD} cannot be read: {error}. Start the chain anew in another folder.") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{folder / RECORD} was not written by acclimate chain. Type resume=outputs/DATE/TIME-chain.")
    return words
