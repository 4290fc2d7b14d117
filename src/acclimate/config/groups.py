"""The groups of configs and their folder."""

import importlib.util
from pathlib import Path

# Groups of which a run can have several configs.
SEVERAL = ("terms", "callbacks", "logger")


def conf_dir() -> Path:
    """Return the folder of configs: in the installed package, or next to `src` in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def config_groups() -> set[str]:
    """Return the names of groups, for which `GROUP=NAME` chooses a config."""
    return {path.name for path in conf_dir().iterdir() if path.is_dir()} - {"hydra"}


def group_options(group: str) -> list[str]:
    """Return the names of the configs of a group."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def has_timm_model(name: str) -> bool:
    """Return True if timm defines a model of this name, by its source code, because importing it takes seconds."""
    found = importlib.util.find_spec("timm")
    if found is None or not name.isidentifier():
        return False
    definition = f"\ndef {name}(".encode()
    return any(
        definition in file.read_bytes() for place in found.submodule_search_locations or [] for file in Path(place, "models").glob("*.py")
    )


def option_keys(group: str, option: str) -> set[str]:
    """Return the keys that a config of a group sets."""
    # Imported here, because --help does not need it.
    import yaml

    return {str(key) for key in yaml.safe_load((conf_dir() / group / f"{option}.yaml").read_text()) or {}}


def listed_keys(group: str) -> set[str]:
    """Return all keys that the configs of a group set."""
    return {key for option in group_options(group) for key in option_keys(group, option)}
