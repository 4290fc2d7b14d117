"""List or clear the cache.

usage: acclimate cache [clear]

Lists the cache, where runs keep for example decoded images to be faster the next time, or removes all of it.

  ACCLIMATE_CACHE      the folder, instead of the usual one for caches
  ACCLIMATE_CACHE_GB   the maximum size in gigabytes, {limit} by default; the least recently used entries are removed first
"""

from collections.abc import Sequence

from acclimate.data.cache import store
from acclimate.errors import ConfigError


def run(arguments: Sequence[str]) -> None:
    """Print the contents of the cache, or remove them."""
    if list(arguments) == ["clear"]:
        print(f"Removed {store.clear() / 1e6:.1f} MB from {store.root()}.")
        return
    if arguments:
        raise ConfigError(f"acclimate cache does not take {' '.join(arguments)}. Type acclimate cache, or acclimate cache clear.")
    from acclimate.reports.tables import print_cache

    print_cache(store.entries(), folder=store.root(), limit=store.limit())
