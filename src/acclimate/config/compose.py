"""From the command line to a plain dictionary: the last Hydra and OmegaConf in sight, but for building the parts."""

import itertools
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from acclimate.config.check import check_config, uses_several_devices
from acclimate.config.groups import conf_dir, did_you_mean, group_options, has_timm_model, listed_keys, most_similar
from acclimate.config.sweeps import Sweep, maximise
from acclimate.errors import ConfigError, UserError
from acclimate.files.folders import RUN_TRACES, new_folder, remove_traces

log = logging.getLogger(__name__)

# A key that is neither a group (data=...), nor Hydra's own (hydra.run.dir=...), nor carries a sign (+terms=..., ~logger).
PLAIN_OVERRIDE = re.compile(r"^(?!hydra\.)[A-Za-z_][\w.]*=")
# The launcher and the sweeper that are extras of this package.
PLUG_INS = {"hydra/launcher": "joblib", "hydra/sweeper": "optuna"}
# What Hydra looks for first of Optuna's.
SAMPLER = "sampler/tpe"


def _new_folder(path: str) -> str:
    """`new_folder`; one that cannot be made is left to Hydra, whose error names it."""
    try:
        return str(new_folder(path))
    except OSError:
        return path


OmegaConf.register_new_resolver("new_folder", _new_folder, use_cache=True, replace=True)
# Keys whose values are text, whatever signs are in it.
PATHS = ("hydra.run.dir", "hydra.sweep.dir", "init_from", "data.source", "data.target")
# What source and target of these classes name.
PLACES = {
    "acclimate.data.images.image_folder.ImageFolder": "DIR with one folder of images for each class",
    "acclimate.data.images.arrays.Arrays": "FILE.npz",
}
# What Hydra takes for null, a boolean or nothing, of which none can name a config, and neither can a number.
NO_NAME = re.compile(r"null|true|false|", re.IGNORECASE)

# Takes a plain, resolved configuration, and what to call once nothing speaks against the run: it keeps what it was started with.
Job = Callable[[dict[str, Any], Callable[[], None]], float]


def run_with_hydra(arguments: Sequence[str], job: Job) -> None:
    """Composes `train.yaml` with overrides and calls the job, once or, with -m, for every combination.

    Args:
        arguments: Overrides and flags of Hydra.
        job: Returns what a sweep maximises.

    Raises:
        UserError: If the configuration cannot be composed, or for what a job raised, once all have run.
    """
    # Hydra prints errors itself and exits with 1, unless it is asked for the full exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    script = sys.argv[0]
    sys.argv = ["acclimate train", *_accept_any_key(arguments)]

    failures: list[UserError] = []

    def resolved_job(config: DictConfig) -> float | None:
        # With several devices Lightning starts this very command again for each.
        sys.argv = [script, "train", *arguments]

        def work() -> float:
            plain = resolve(config)
            plain["name"] = plain.get("name") or HydraConfig.get().runtime.choices["method"]
            share: AbstractContextManager[None] = nullcontext()
            if Sweep.is_under_way():
                check_config(plain)
                refuse_several_devices(plain, "A sweep")
                share = sweep.share_of_machine(plain)
            with share:
                return job(plain, lambda: _write_record(Path(plain["folder"]), config))

        if Sweep.is_under_way():
            return sweep.run_job(work)
        try:
            return work()
        except UserError as error:
            failures.append(error)
            remove_traces(Path(HydraConfig.get().runtime.output_dir), RUN_TRACES)
            return None

    maximise()
    with tempfile.TemporaryDirectory() as notes:
        sweep = Sweep(Path(notes))
        try:
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(resolved_job)()
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(error)) from error
        except BrokenProcessPool as error:
            raise ConfigError(
                "A process of the sweep was killed, perhaps because memory ran out. Type the same command with resume=true "
                "hydra.sweep.dir=DIR, where DIR is the sweep's folder, to keep what is finished. hydra.launcher.n_jobs=1 takes less memory."
            ) from error
        except (ValueError, RuntimeError):
            # Optuna looks for the best trial even if all have failed, and its grid does not expect the last one to fail.
            sweep.raise_failures()
            raise
        sweep.raise_failures()
    if failures:
        raise failures[0]


def _write_record(folder: Path, config: DictConfig) -> None:
    """What Hydra would write before the job is asked, over the record of a run that may be there."""
    # Here, as a wrong word is to be answered without waiting for torch.
    from acclimate.files.atomic_files import replacing

    settings = HydraConfig.get()
    parts = {"config": config, "hydra": OmegaConf.create({"hydra": settings}), "overrides": settings.overrides.task}
    for name, part in parts.items():
        with replacing(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(OmegaConf.to_yaml(part).encode())


def refuse_missing_files(config: Mapping[str, Any]) -> None:
    """Check, before anything is imported to read them, that files and folders exist which a configuration names.

    Raises:
        ConfigError: If one does not.
    """
    data = config["data"]
    wanted = PLACES.get(data["_target_"])
    named = {f"data.{key}": (data.get(key), wanted) for key in ("source", "target") if wanted}
    for key, (place, kind) in {**named, "init_from": (config["init_from"], "RUN, a finished run's folder or a checkpoint")}.items():
        if place is not None and not Path(place).exists():
            raise ConfigError(f"{key}={place} is not a folder or a file. Type {key}={kind}. A relative path starts at {Path.cwd()}.")


def refuse_several_devices(config: Mapping[str, Any], what: str) -> None:
    """Lightning starts the whole command again for each device, which is right for a single run alone.

    Raises:
        ConfigError: If the trainer is for several devices.
    """
    if uses_several_devices(config["trainer"]):
        raise ConfigError(f"{what} takes one device at a time. Use trainer=gpu, or start each run by itself with trainer=ddp.")


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers without interpolations.

    Raises:
        ConfigError: If a key that must be set is not, or an interpolation leads nowhere.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise ConfigError(_missing(missing) + _mistaken_for(missing, config))
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error)) from error
    assert isinstance(plain, dict)
    plain.pop("experiment", None)
    return {str(key): value for key, value in plain.items()}


def override(saved: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A saved configuration with changes.

    Args:
        saved: Plain and fully resolved.
        overrides: `GROUP=NAME` takes the group anew, with the `GROUP.KEY=VALUE` that follow; other keys change what is saved.

    Raises:
        ConfigError: If an override cannot be understood.
    """
    malformed = next((text for text in overrides if "=" not in text), None)
    if malformed is not None:
        raise ConfigError(f"{malformed} is not of the form KEY=VALUE.")
    groups = {text.split("=")[0] for text in overrides}.intersection(config_groups())
    if "experiment" in groups:
        raise ConfigError("An experiment is a recipe for training. Give the keys that should change: GROUP=NAME or GROUP.KEY=VALUE.")
    # Plain throughout: what was saved may be a stranger's, and OmegaConf would look up its interpolations.
    config = dict(saved)
    try:
        for group in groups:
            mine = [text for text in overrides if text.split("=")[0].split(".")[0] == group]
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                fresh = hydra.compose("train", _accept_any_key(mine))
            fresh.folder, fresh.seed = config.get("folder"), config.get("seed", 0)
            config[group] = OmegaConf.to_container(_resolved_node(fresh, group))
        for text in overrides:
            if text.split("=")[0].split(".")[0] not in groups:
                try:
                    changes = OmegaConf.to_container(OmegaConf.from_dotlist([text]), resolve=True)
                except yaml.YAMLError as error:
                    raise ConfigError(_unreadable(text, str(error))) from error
                assert isinstance(changes, dict)
                config = _merge(config, changes)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error
    return config


def _merge(saved: Any, changes: Any) -> Any:
    """Mappings key by key; all else is replaced."""
    if not isinstance(saved, dict) or not isinstance(changes, dict):
        return changes
    return saved | {key: _merge(saved.get(key), value) for key, value in changes.items()}


def compose_sweep(overrides: Sequence[str], folder: Path = Path()) -> dict[str, dict[str, Any]]:
    """Plain, resolved configurations for every combination of the values that commas separate.

    Args:
        overrides: As for `acclimate train -m`.
        folder: Where a run would write.

    Returns:
        By a name that lists what varies, in the order of the overrides, or all of them where nothing does.

    Raises:
        ConfigError: If the configuration cannot be composed.
    """
    configs = {}
    try:
        accepted = _accept_any_key(overrides)
        parsed = OverridesParser.create().parse_overrides(accepted)
        choices = [
            [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()] if one.is_sweep_override() else [text]
            for text, one in zip(accepted, parsed, strict=True)
        ]
        for combination in itertools.product(*choices):
            varying = [text for text, values in zip(combination, choices, strict=True) if len(values) > 1]
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                # Nothing is written, and only Hydra's own runs know a folder.
                config = hydra.compose("train", [*combination, "folder=."], return_hydra_config=True)
            method = config.hydra.runtime.choices.method
            with open_dict(config):
                del config["hydra"]
            config.folder = str(folder)
            plain = resolve(config)
            plain["name"] = plain.get("name") or method
            configs[" ".join(text.lstrip("+") for text in varying or combination)] = plain
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error
    return configs


def _missing(keys: Sequence[str]) -> str:
    return f"No value for {', '.join(keys)}. Type {' '.join(f'{key}=VALUE' for key in keys)}."


def _mistaken_for(missing: Sequence[str], config: DictConfig) -> str:
    """Points to a key that no config lists and that was probably meant to be one that has no value yet."""
    for key in missing:
        group, _, name = key.rpartition(".")
        if group not in config_groups():
            continue
        for other in config[group]:
            if other not in listed_keys(group) and most_similar(str(other), [name]):
                value = OmegaConf.to_container(config[group]).get(other)  # type: ignore[union-attr]
                return f" There is no key {group}.{other}: type {key}={value}."
    return ""


def _resolved_node(config: DictConfig, key: str) -> DictConfig:
    missing = sorted(name for name in OmegaConf.missing_keys(config) if name.startswith(f"{key}."))
    if missing:
        raise ConfigError(_missing(missing) + _mistaken_for(missing, config))
    node = config[key]
    OmegaConf.resolve(node)
    assert isinstance(node, DictConfig)
    return node


def config_groups() -> set[str]:
    """The names of which `GROUP=NAME` chooses a whole config."""
    return {path.name for path in conf_dir().iterdir() if path.is_dir()}


def _accept_any_key(arguments: Sequence[str]) -> list[str]:
    """Lets Hydra take keys that no YAML lists, since `check_config` knows which ones there are and names similar ones."""
    groups = config_groups()
    accepted = []
    for argument in map(_quote_path, arguments):
        key, _, value = argument.partition("=")
        if not key:
            raise ConfigError(f"{argument} is not of the form KEY=VALUE.")
        if key in groups and "=" in argument and (NO_NAME.fullmatch(value) or _is_number(value)):
            raise ConfigError(_no_such_option(key, value))
        accepted.append(f"++{argument}" if PLAIN_OVERRIDE.match(argument) and key not in groups else argument)
    return accepted


def _quote_path(argument: str) -> str:
    """Quote what names a file or a folder where Hydra would not read it as text, or would read it as several values."""
    key, _, value = argument.partition("=")
    if key.lstrip("+") not in PATHS:
        return argument
    try:
        parsed = OverridesParser.create().parse_override(argument)
        is_text = not (Path(value).exists() and (parsed.is_sweep_override() or isinstance(parsed.value(), list | dict)))
    except HydraException:
        is_text = False
    return argument if is_text else f"{key}={QuotedString(text=value, quote=Quote.single).with_quotes()}"


def _explain(error: Exception) -> str:
    """Hydra's message, with the most similar option if one was misspelt."""
    message = str(error).strip()
    plug_in = re.search(r"Could not (?:find|load) '(hydra/(?:launcher|sweeper))/(sampler/tpe|[^/']*)'", message)
    if plug_in:
        return _no_such_plug_in(*plug_in.groups())
    option = re.search(r"Could not (?:find|load) '(?!hydra/)(\w+)/([^']*)'", message)
    if option:
        return _no_such_option(*option.groups())
    text = getattr(error, "override", None)
    if isinstance(text, str):
        text = text.removeprefix("++")
        return _unreadable(text, message) if "=" in text else f"{text} is not of the form KEY=VALUE."
    return message


def _unreadable(text: str, reason: str) -> str:
    key, _, value = text.partition("=")
    quoted = f"""'{key}="{value}"'"""
    return f"{text} cannot be read: {reason.splitlines()[0]}. If the value has spaces, brackets or signs in it, type {quoted}."


def _no_such_plug_in(group: str, name: str) -> str:
    extra = PLUG_INS[group]
    if name in (extra, SAMPLER):
        return f"{group}={extra} needs a package that is not installed. Type: pip install 'acclimate[{extra}]'."
    return f"{group}={name}: there is no such option.{did_you_mean(name, ['basic', extra])} Choose one of basic, {extra}."


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
    return f"{group}={name}: there is no such option.{did_you_mean(name, options)} Choose one of {', '.join(options)}."
