"""Arguments of the command: the keys of a verb itself, and overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from acclimate.config.messages import did_you_mean, texts_in, unquoted
from acclimate.errors import ConfigError
from acclimate.files.atomic_files import refuse_output
from acclimate.files.console import VERBOSITIES, Verbosity

# Flags of Hydra.
FLAGS_WITH_VALUES = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")


def divide_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate flags and their values, which may be anywhere, from the other arguments.

    >>> divide_arguments(["train", "seed=0,1", "-m", "--config-dir", "mine", "method=dann"])
    (['-m', '--config-dir', 'mine'], ['train', 'seed=0,1', 'method=dann'])
    """
    flags: list[str] = []
    words: list[str] = []
    for argument in arguments:
        takes_value = bool(flags) and flags[-1] in FLAGS_WITH_VALUES
        (flags if takes_value or argument.startswith("-") else words).append(argument)
    return flags, words


def split_keys(arguments: Sequence[str], *, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Separate the keys of a verb itself from the overrides.

    Raises:
        ConfigError: If a required key is missing.
    """
    pairs = [text.partition("=") for text in arguments]
    keys = {key: unquoted(value) for key, _, value in pairs if key in (*required, *optional)}
    missing = [key for key in required if not keys.get(key)]
    if missing:
        raise ConfigError(f"No value for {', '.join(missing)}. Type {' '.join(f'{key}=...' for key in required)}.")
    return keys, [text for text in arguments if text.partition("=")[0] not in keys]


def split_verbosity(arguments: Sequence[str]) -> tuple[Verbosity, list[str]]:
    """Separate `verbosity=NAME` from the other arguments.

    Raises:
        ConfigError: If there is no such verbosity.

    >>> split_verbosity(["outputs", "verbosity=quiet"]), split_verbosity([])
    (('quiet', ['outputs']), ('normal', []))
    """
    keys, others = split_keys(arguments, required=(), optional=("verbosity",))
    typed = keys.get("verbosity", "normal")
    for verbosity in VERBOSITIES:
        if typed == verbosity:
            return verbosity, others
    raise ConfigError(f"verbosity={typed} must be one of {', '.join(VERBOSITIES)}.{did_you_mean(typed, VERBOSITIES)}")


def split_config_dir(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Separate `--config-dir DIR`, the folder with the user's own configs, from the other arguments.

    Raises:
        ConfigError: If it is not a folder.

    >>> split_config_dir(["model=mlp", "seed=1"])
    (None, ['model=mlp', 'seed=1'])
    """
    config_dir, others = None, list[str]()
    remaining = iter(arguments)
    for word in remaining:
        flag, _, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            config_dir = value or next(remaining, "")
        else:
            others.append(word)
    if config_dir is not None and not (config_dir and Path(config_dir).is_dir()):
        raise ConfigError(f"--config-dir {config_dir} is not a folder. Name the one with your own configs: --config-dir DIR.")
    return None if config_dir is None else Path(config_dir), others


def refuse_unwritable(keys: Mapping[str, str]) -> None:
    """Check, before any work is done, that `out=FILE` can be written.

    Raises:
        StorageError: If it cannot be written.
    """
    if "out" in keys:
        refuse_output(Path(keys["out"]))


def refuse_used_folder(folder: Path, key: str) -> None:
    """Check, before any work is done, that a folder is new or empty, so that old and new files are not mixed.

    Raises:
        ConfigError: If it is not.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError(f"{key}={folder} already exists and is not an empty folder. Name a new one: {key}={folder}-2.")


def list_of(text: str | None) -> list[str]:
    """Parse the value of an argument such as trust=[a,b] or trust=a as a list; quotes keep commas and spaces.

    >>> list_of("[a, b]"), list_of("a"), list_of(None), list_of('["a, b","c[1]"]')
    (['a', 'b'], ['a'], [], ['a, b', 'c[1]'])
    """
    return texts_in(text or "")


def count(keys: Mapping[str, str], key: str, unit: str) -> int | None:
    """Parse the number that a key is set to; None if it is not set.

    Raises:
        ConfigError: If it is not a whole number of at least 1.
    """
    text = keys.get(key, "1")
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise ConfigError(f"{key}={text} must be a whole number of {unit}, at least 1.")
    return int(text) if key in keys else None
