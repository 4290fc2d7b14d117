"""Messages about overrides that cannot be read, and explanations of Hydra's errors."""

import re
import shlex
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, InterpolationResolutionError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from acclimate.config.groups import SEVERAL, conf_dir, config_groups, group_options, has_timm_model, listed_keys, option_keys
from acclimate.config.messages import did_you_mean, most_similar, setting, show, texts_in
from acclimate.config.paths import NAMES_OR_PATHS, TEXTS
from acclimate.config.suggestions import options_like, readers_of
from acclimate.errors import first_line

# What Hydra raises for overrides and configs that it cannot read, also those of the user.
UNREADABLE = (HydraException, OmegaConfBaseException, YAMLError)
# Extras of this package with the packages that launchers and sweepers need.
EXTRAS = {"joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray", "optuna": "optuna"}


def explain(error: Exception) -> str:
    """Return Hydra's message, with the most similar option if one was misspelt."""
    message = str(error).strip()
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        place = error.problem_mark
        return f"{place.name} cannot be read: {error.problem}, in line {place.line + 1}, column {place.column + 1}. Correct this line."
    plug_in = re.search(r"Could not (?:find|load) '(hydra/[\w/]+)/([^/']*)'", message)
    if plug_in:
        group, name = plug_in.groups()
        options = sorted({*(path.stem for path in (conf_dir() / group).glob("*.yaml")), *(["basic"] if group == "hydra/launcher" else [])})
        return f"{group}={name}: there is no such option.{did_you_mean(name, options)} Choose one of {', '.join(options)}."
    option = re.search(r"Could not (?:find|load) '(?!hydra/)(\w+)/([^']*)'", message)
    if option:
        group, name = option.groups()
        return no_such_option(group, name, getattr(error, "options", None) or ())
    if own := re.match(r"In '(.*)': Could not override '\w+@", message):
        return f"{own[1]}.yaml overrides groups, but is no global package. Begin it with the line: # @package _global_"
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
    if re.match(r"\w+\(", values) or (key in config_groups() and key not in SEVERAL):
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
    """Return a suggestion for keys that need a value: one that is in no config and resembles one of them, or to do without a source."""
    for key in missing:
        group, _, name = key.rpartition(".")
        if group not in config_groups():
            continue
        for other in config[group]:
            if other != name and other not in listed_keys(group) and most_similar(str(other), [name]):
                value = OmegaConf.to_container(config[group]).get(other)  # type: ignore[union-attr]
                return f" There is no key {group}.{other}: type {setting(key, value)}."
    no_source = " If you no longer have the source, type data.source=null with method=shot or method=ada_bn."
    return no_source if "data.source" in missing else ""


def no_such_option(group: str, name: str, further: Sequence[str] = ()) -> str:
    """Return a message about a config that its group does not have, with those that can be meant; `further` are configs of the user."""
    options = sorted({*group_options(group), *further})
    if group == "model" and has_timm_model(name):
        return f"model={name}: there is no such option, but timm has such a model. Type model=timm model.backbone.name={name}."
    if group == "data" and (readers := readers_of(name)):
        hint = f" To read {name}, type data={readers[0]} {setting('data.source', name)}."
    else:
        own = most_similar(name, [option for option in further if option not in group_options(group)], at_least=0.7)
        close = own or " or ".join(options_like(group, name))
        hint = f" Did you mean {close}?" if close else ""
    return f"{group}={name}: there is no such option.{hint} Choose one of {', '.join(options)}."
