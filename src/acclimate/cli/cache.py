"""List or clear what is kept to be faster the next time.

usage: acclimate cache [clear]

Lists what earlier runs have kept to be faster the next time, such as decoded images, or removes all of it.

  ACCLIMATE_CACHE      the folder, in place of the usual one for caches
  ACCLIMATE_CACHE_GB   what it may take, in gigabytes: {limit} unless set; what was used longest ago makes room
"""

from collections.abc import Sequence

from acclimate.data.cache import store
from acclimate.errors import ConfigError


def run(arguments: Sequence[str]) -> None:
    """Print what is kept, or remove it."""
    if list(arguments) == ["clear"]:
        print(f"Removed {store.clear() / 1e6:.1f} MB from {store.root()}.")
        return
    if arguments:
        raise ConfigError(f"acclimate cache does not take {' '.join(arguments)}. Type acclimate cache, or acclimate cache clear.")
    from acclimate.reports.tables import print_cache

    print_cache(store.entries(), folder=store.root(), limit=store.limit())
