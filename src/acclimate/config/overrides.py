"""Preparation of overrides, as typed by the user, for Hydra."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from acclimate.config.groups import SEVERAL, config_groups, group_options
from acclimate.config.messages import texts_in, unquoted, without_interpolations
from acclimate.config.override_errors import no_such_option, several_values
from acclimate.config.paths import DATA_PATHS, FOLDERS, NAMES, NAMES_OR_PATHS, PATHS, TEXTS, WITHOUT_INTERPOLATIONS
from acclimate.errors import ConfigError

# A key that is not a group (data=...), not Hydra's own (hydra.run.dir=...), and has no sign (+terms=..., ~logger).
PLAIN_OVERRIDE = re.compile(r"^(?!hydra\.)[A-Za-z_][\w.]*=")
# What OmegaConf calls a missing value.
OF_OMEGACONF = "???"
# Values of keys with text that mean that there is none.
NO_PATH = ("", "null")
# Values that Hydra reads as null, a boolean or nothing; these, and numbers, cannot be names of configs.
NO_NAME = re.compile(r"null|true|false|", re.IGNORECASE)


def accept_any_key(arguments: Sequence[str]) -> list[str]:
    """Make Hydra accept keys that are in no YAML, because `check_config` knows all keys and suggests similar ones."""
    groups = config_groups()
    accepted = []
    for argument in map(as_text, arguments):
        key, _, value = argument.partition("=")
        if not key:
            raise ConfigError(f"{argument} is not of the form KEY=VALUE.")
        if key in groups and key not in SEVERAL and value.startswith("[") and set(texts_in(value)) <= {*group_options(key)}:
            raise ConfigError(several_values(f"{key}={value.strip('[]')}"))
        if key in groups and "=" in argument and (NO_NAME.fullmatch(value) or _is_number(value)):
            raise ConfigError(no_such_option(key, value))
        # A mapping changes or adds keys of a group, instead of choosing one of its configs.
        is_config = key in groups and not value.startswith("{")
        accepted.append(argument if is_config or not PLAIN_OVERRIDE.match(argument) else f"++{argument}")
    return accepted


def as_text(argument: str) -> str:
    """Change an override of a name or a path so that Hydra and OmegaConf read it as it was typed: it is text, whatever is in it."""
    key, _, value = argument.partition("=")
    value = _as_path(key.lstrip("+"), value)
    typed = _quote_path(key, value) if _is_text(key.lstrip("+"), value) else argument
    return without_interpolations(typed) if key.lstrip("+") in WITHOUT_INTERPOLATIONS else typed


def _as_path(key: str, value: str) -> str:
    """Return a value, or a path that means the same and can be read.

    Raises:
        ConfigError: If a path is empty, such as that of a variable of the shell without a value, and would be the current folder.
    """
    if key in (*PATHS, *FOLDERS):
        if not unquoted(value):
            raise ConfigError(f"{key}= names nothing. Type {key}=PLACE; the current folder is {key}=.")
        return _not_missing(value)
    return value


def _not_missing(path: str) -> str:
    """Return a path, or the same in another form if OmegaConf takes it for a missing value."""
    return f"./{OF_OMEGACONF}" if unquoted(path) == OF_OMEGACONF else path


def _is_text(key: str, value: str) -> bool:
    """Return True if a value is text: that of a key of such values, or a file where there could also be something else."""
    if key in NAMES_OR_PATHS:
        return not NO_NAME.fullmatch(value) and Path(value).exists()
    return key in TEXTS and value not in NO_PATH


def _quote_path(key: str, value: str) -> str:
    """Quote the name of a file or a folder that Hydra would not read as this text."""
    argument = f"{key}={value}"
    if (several := paths_in(key, value)) is not None:
        return f"{key}=[{','.join(_quoted(path) for path in several)}]"
    try:
        parsed = OverridesParser.create().parse_override(argument)
        if key.lstrip("+") not in NAMES and (parsed.is_sweep_override() or isinstance(parsed.value(), list | dict)):
            # Several values, unless there is such a file; the folder of a run or of a sweep is one.
            is_read = not Path(value).exists() and not key.startswith("hydra.")
        else:
            is_read = not parsed.is_sweep_override() and parsed.value() == unquoted(value) and "${" not in value
    except HydraException:
        is_read = False
    return argument if is_read else f"{key}={_quoted(value)}"


def _quoted(path: str) -> str:
    return str(QuotedString(text=path, quote=Quote.single).with_quotes())


def paths_in(key: str, value: str) -> list[str] | None:
    """Return the paths that a list names, each as text; None if the value is not a list, or the key takes none.

    Args:
        key: The key of an override.
        value: Its value as typed.

    >>> paths_in("data.source", "[2024, o'brien, cam #2,'a,b']"), paths_in("data.source", "2024"), paths_in("data.source", "[a],[b]")
    (['2024', "o'brien", 'cam #2', 'a,b'], None, None)
    """
    is_list = value.startswith("[") and value.endswith("]") and not re.search(r"\]\s*,\s*\[", value)
    if key.lstrip("+") not in DATA_PATHS or not is_list or Path(value).exists():
        return None
    return [_not_missing(path) for path in texts_in(value)] or None


def path_of(argument: str) -> tuple[str, str | list[str] | None] | None:
    """Return the key and the path, or the paths, of an override that names files or folders; None for other overrides.

    >>> path_of("data.target=photos/cam #2"), path_of("data.target=null"), path_of("seed=1")
    (('data.target', 'photos/cam #2'), ('data.target', None), None)
    """
    key, _, value = argument.partition("=")
    name = key.lstrip("+")
    value = _as_path(name, value)
    if not _is_text(name, value):
        return (name, None) if name in TEXTS else None
    if (several := paths_in(key, value)) is not None:
        return name, several
    return name, unquoted(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
