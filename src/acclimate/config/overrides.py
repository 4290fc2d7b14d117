"""Overrides as typed by the user: preparation for Hydra, and explanation of Hydra's errors."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, InterpolationResolutionError, OmegaConfBaseException

from acclimate.config.groups import conf_dir, group_options, has_timm_model, listed_keys, option_keys
from acclimate.config.messages import did_you_mean, most_similar, setting, show, texts_in, unquoted, without_interpolations
from acclimate.config.paths import DATA_PATHS, FOLDERS, NAMES, NAMES_OR_PATHS, PATHS, TEXTS, WITHOUT_INTERPOLATIONS
from acclimate.config.suggestions import options_like, readers_of
from acclimate.errors import ConfigError, first_line

# A key that is not a group (data=...), not Hydra's own (hydra.run.dir=...), and has no sign (+terms=..., ~logger).
PLAIN_OVERRIDE = re.compile(r"^(?!hydra\.)[A-Za-z_][\w.]*=")
# Extras of this package with the packages that launchers and sweepers need.
EXTRAS = {"joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray", "optuna": "optuna"}
# What OmegaConf calls a missing value.
OF_OMEGACONF = "???"
# Values of keys with text that mean that there is none.
NO_PATH = ("", "null")
# Groups of which a run can have several configs.
SEVERAL = ("terms", "callbacks", "logger")
# Values that Hydra reads as null, a boolean or nothing; these, and numbers, cannot be names of configs.
NO_NAME = re.compile(r"null|true|false|", re.IGNORECASE)


def config_groups() -> set[str]:
    """Return the names of groups, for which `GROUP=NAME` chooses a config."""
    return {path.name for path in conf_dir().iterdir() if path.is_dir()} - {"hydra"}


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
            raise ConfigError(_no_such_option(key, value))
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


def explain(error: Exception) -> str:
    """Return Hydra's message, with the most similar option if one was misspelt."""
    message = str(error).strip()
    plug_in = re.search(r"Could not (?:find|load) '(hydra/[\w/]+)/([^/']*)'", message)
    if plug_in:
        group, name = plug_in.groups()
        options = sorted({*(path.stem for path in (conf_dir() / group).glob("*.yaml")), *(["basic"] if group == "hydra/launcher" else [])})
        return f"{group}={name}: there is no such option.{did_you_mean(name, options)} Choose one of {', '.join(options)}."
    option = re.search(r"Could not (?:find|load) '(?!hydra/)(\w+)/([^']*)'", message)
    if option:
        return _no_such_option(*option.groups())
    if several := re.match(r"Ambiguous value for argument '\+*(.*)'\n|Sweep parameters '\+*(.*)' requires", message):
        return several_values(several[1] or several[2])
    if isinstance(error, InterpolationResolutionError | GrammarParseError) and error.full_key:
        return _unresolved(error)
    if key := re.search(r"Could not override 'hydra\.(launcher|sweeper)\.([\w.]+)'", message):
        return _no_such_plug_in_key(*key.groups())
    if several := re.search(r"Sweeping over Hydra's configuration is not supported : '(.*)'", message):
        return f"{several[1]} has several values, but all jobs of a sweep share it. Type one of them."
    text = getattr(error, "override", None)
    if isinstance(text, str):
        text = text.removeprefix("++")
        return unreadable(text, message) if "=" in text else f"{text} is not of the form KEY=VALUE."
    return " ".join(line.strip() for line in message.splitlines())


def _no_such_plug_in_key(group: str, name: str) -> str:
    folder = f"hydra/{group}"
    if owners := [option for option in group_options(folder) if name in option_keys(folder, option)]:
        return f"hydra.{group}.{name} is a key of {' and '.join(f'{folder}={option}' for option in owners)}: add the option."
    known = sorted(key for key in listed_keys(folder) if not key.startswith("_") and key != "defaults")
    return f"hydra.{group}.{name}: there is no such key.{did_you_mean(name, known)} {folder}=NAME chooses the {group}."


def several_values(text: str) -> str:
    """Return a message about several values where only one run is possible."""
    key, _, values = text.partition("=")
    problem = f"{text} has several values, but this is one run."
    every = "acclimate train -m trains a run for each."
    if re.match(r"\w+\(", values):
        return f"{problem} {every}"
    if key in config_groups() and key not in SEVERAL:
        return f"{problem} {every}"
    as_list = f"If they are a list, type {shlex.quote(f'{key}=[{values}]')}."
    if key in (*TEXTS, *NAMES_OR_PATHS):
        return f"{problem} {as_list} There is no file or folder of this name. {every}"
    return f"{problem} {as_list} If they are one text, type {setting(key, values)}. {every}"


def _unresolved(error: OmegaConfBaseException) -> str:
    """Return a message about an interpolation that cannot be resolved."""
    key, problem = str(error.full_key), first_line(error)
    if key.partition(".")[0] in ("hydra", "folder"):
        return f"{key} cannot be read: {problem}. Hydra cannot use folders with ${{ in their names."
    node = error.parent_node
    value = OmegaConf.to_container(node, resolve=False).get(error.key) if isinstance(node, DictConfig) else None  # type: ignore[union-attr]
    as_text = f" If the value is text, type {setting(key, value)}." if isinstance(value, str) else ""
    return f"{key}={show(value)} cannot be read: {problem}.{as_text}"


def missing_plug_in(group: str, name: str) -> str:
    """Return a message about a launcher or a sweeper whose package is not installed."""
    return f"{group}={name} needs a package that is not installed. Type: pip install 'acclimate[{EXTRAS.get(name, name)}]'."


def unreadable(text: str, reason: str) -> str:
    """Return a message about a value that cannot be parsed, which shows how to quote it."""
    key, _, value = text.partition("=")
    problem = f"{text} cannot be read: {reason.splitlines()[0]}."
    pair, inside = value[:1] + value[-1:], value[1:-1]
    if value[:1] in ("[", "{") and (pair not in ("[]", "{}") or set(inside) & set(pair)):
        return f"{problem} Close all brackets and quotes, and put names with spaces or signs into quotes."
    found: object = texts_in(value) if pair == "[]" else value
    if pair == "{}":
        pairs = [item.partition(":") for item in inside.split(",")]
        found = {"".join(texts_in(name)): "".join(texts_in(item)) for name, _, item in pairs}
    return f"{problem} If the value contains spaces, brackets or signs, type {setting(key, found)}."


def missing_values(keys: Sequence[str]) -> str:
    """Return a message about keys that need a value."""
    return f"No value for {', '.join(keys)}. Type {' '.join(f'{key}=VALUE' for key in keys)}."


def mistaken_for(missing: Sequence[str], config: DictConfig) -> str:
    """Return a suggestion for a key that is in no config and resembles one that needs a value, or an empty string."""
    for key in missing:
        group, _, name = key.rpartition(".")
        if group not in config_groups():
            continue
        for other in config[group]:
            if other not in listed_keys(group) and most_similar(str(other), [name]):
                value = OmegaConf.to_container(config[group]).get(other)  # type: ignore[union-attr]
                return f" There is no key {group}.{other}: type {setting(key, value)}."
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _no_such_option(group: str, name: str) -> str:
    options = group_options(group)
    if group == "model" and has_timm_model(name):
        return f"model={name}: there is no such option, but timm has such a model. Type model=timm model.backbone.name={name}."
    if group == "data" and (readers := readers_of(name)):
        hint = f" To read {name}, type data={readers[0]} {setting('data.source', name)}."
    else:
        close = " or ".join(options_like(group, name))
        hint = f" Did you mean {close}?" if close else ""
    return f"{group}={name}: there is no such option.{hint} Choose one of {', '.join(options)}."
