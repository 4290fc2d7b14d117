"""Arguments of the command: the keys of a verb itself, and overrides."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from acclimate.config.messages import did_you_mean, most_similar, setting, texts_in, unquoted
from acclimate.errors import ConfigError, command
from acclimate.files.atomic_files import refuse_output
from acclimate.files.console import VERBOSITIES, Verbosity

# Values of keys in messages.
VALUES = {"run": "DIR", "resume": "DIR", "inputs": "PLACE", "out": "FILE"}
# Flags of Hydra.
FLAGS_WITH_VALUES = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")
FLAGS = (
    *FLAGS_WITH_VALUES,
    *("-m", "--multirun", "-r", "--run", "--resolve", "-i", "--info", "-sc", "--shell-completion", "--hydra-help", "--experimental-rerun"),
)


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


def refuse_malformed(arguments: Sequence[str]) -> None:
    """Check that all flags are those of Hydra, and that all other words are settings.

    Raises:
        ConfigError: If one is not.
    """
    flags, words = divide_arguments(arguments)
    for flag in flags:
        name, _, value = flag.partition("=")
        if flag.startswith("-") and name not in FLAGS:
            close = next((known for known in FLAGS if known.lower() == name.lower()), None) or most_similar(name, FLAGS)
            plain = next((word for word in words if "=" not in word), "VALUE")
            typed = shlex.quote(f"{name.lstrip('-')}={value or plain}")
            question = f" Did you mean {close}?" if close else f" Settings have no hyphens: type {typed}." if flag.startswith("--") else ""
            raise ConfigError(f"acclimate train has no flag {flag}.{question} Its flags are -m, --config-dir DIR and --cfg job.")
    for word, following in zip(words, [*words[1:], "="], strict=False):
        if "=" not in word and not word.startswith("~"):
            typed = "" if "=" in following else f" Type {shlex.quote(f'{word}={following}')}."
            raise ConfigError(f"{word} is not of the form KEY=VALUE.{typed}")


def split_keys(arguments: Sequence[str], *, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Separate the keys of a verb itself from the overrides.

    Raises:
        ConfigError: If a required key is missing.
    """
    pairs = [text.partition("=") for text in arguments]
    keys = {key: unquoted(value) for key, _, value in pairs if key in (*required, *optional)}
    others = [text for text in arguments if text.partition("=")[0] not in keys]
    missing = [key for key in required if not keys.get(key)]
    if missing:
        guesses = {**_guesses(missing, others), **{key: value for key, value in keys.items() if value}}
        typed = " ".join(setting(key, guesses[key]) if key in guesses else f"{key}={VALUES[key]}" for key in required)
        raise ConfigError(f"No value for {', '.join(missing)}. Type {typed}.")
    return keys, others


def _guesses(missing: Sequence[str], words: Sequence[str]) -> dict[str, str]:
    """Return values for missing keys from words that can be meant for them: of a similar key, or without any."""
    guesses = dict[str, str]()
    for word in words:
        name, equals, value = word.partition("=")
        key = most_similar(name, missing) if equals else None if word.startswith("-") else missing[0]
        if key is not None:
            guesses.setdefault(key, value if equals else word)
    return guesses


def refused(verb: str, words: Sequence[str], keys: Sequence[str]) -> str:
    """Return a message about words that a verb does not take.

    >>> refused("predict", ["batchsize=3"], ["run", "batch_size"])
    'acclimate predict does not take batchsize=3. Did you mean batch_size? Its keys are run, batch_size: acclimate predict --help.'
    """
    close = did_you_mean(words[0].partition("=")[0], keys)
    return f"acclimate {verb} does not take {' '.join(words)}.{close} Its keys are {', '.join(keys)}: {command(verb, '--help')}."


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


def refuse_unwritable(file: Path, endings: Sequence[str]) -> None:
    """Check, before any work is done, that `out=FILE` can be written.

    Args:
        file: The file.
        endings: Endings of the formats that the verb writes, the usual one first. A file without an ending has the usual format. If
            there are none, a file of any ending has the same format.

    Raises:
        ConfigError: If its ending is that of another format.
        StorageError: If it cannot be written.
    """
    refuse_output(file)
    if endings and file.suffix and file.suffix.lower() not in endings:
        whole = file.with_suffix("")
        typed = setting("out", str(whole if whole.suffix.lower() in endings else file.with_suffix(endings[0])))
        raise ConfigError(f"out={file} must end in {' or '.join(endings)}. Type {typed}.")


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
