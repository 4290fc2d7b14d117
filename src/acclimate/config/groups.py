"""The groups of configs and their folder."""

import importlib.util
from pathlib import Path


def conf_dir() -> Path:
    """Return the folder of configs: in the installed package, or next to `src` in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


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


def listed_keys(group: str) -> set[str]:
    """Return all keys that the configs of a group set."""
    # Imported here, because --help does not need it.
    import yaml

    contents = [yaml.safe_load(path.read_text()) or {} for path in (conf_dir() / group).glob("*.yaml")]
    return {str(key) for content in contents for key in content}
