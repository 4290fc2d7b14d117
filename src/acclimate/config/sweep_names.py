"""Names of the folders of a sweep and of its jobs, which say what varies."""

import hashlib
import re
from collections.abc import Collection, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from acclimate.config.overrides import accept_any_key

# Bytes of a name without its digest; file systems allow 255.
MAX_LENGTH = 100
# The number of trials, and where and how jobs run, do not make a sweep another one.
EXECUTION = (
    "hydra/launcher",
    "hydra.launcher.",
    "hydra.sweeper.n_trials",
    "hydra.sweeper.n_jobs",
    "hydra.sweeper.max_batch_size",
    "resume=",
)


def sweep_name(arguments: Sequence[str]) -> str:
    """Return the name of a sweep's folder, which is the same whenever the same command is typed.

    >>> sweep_name(["-m", "method=source_only,dann", "seed=0,1", "trainer=smoke"])
    'method=source_only+dann,seed=0+1-c550c7'

    Args:
        arguments: Overrides and flags as typed.
    """
    words = [text for text in arguments if not text.startswith(("-m", "--multirun"))]
    try:
        swept = [text for text, override in zip(words, _parse(words), strict=True) if override.is_sweep_override()]
    except (HydraException, ValueError):
        # Flags with values, or a mistake that Hydra reports.
        swept = [text for text in words if "," in text]
    identity = [text for text in words if not text.lstrip("+").startswith(EXECUTION)]
    return f"{_shortened(_readable(_pairs(swept)), MAX_LENGTH // 2)}-{_digest(identity)}"


def job_name(overrides: Sequence[str], varying: Collection[str]) -> str:
    """Return the name of a job's folder: the overrides that vary between jobs, with short keys.

    >>> job_name(["method=dann", "++optimizer.lr=0.003", "data=vectors"], {"method", "++optimizer.lr"})
    'method=dann,lr=0.003'
    >>> job_name(["++optimizer.lr=1", "++scheduler.lr=2"], {"++optimizer.lr", "++scheduler.lr"})
    'optimizer.lr=1,scheduler.lr=2'
    >>> job_name(["+terms=[mcc,bnm]"], {"+terms"})
    'terms=mcc+bnm-b0b44a'

    Args:
        overrides: All overrides of the job.
        varying: Keys that vary in the sweep; if there are none, all overrides are named.
    """
    chosen = [text for text in overrides if text.partition("=")[0] in varying] or list(overrides)
    pairs = _pairs(chosen)
    name = _shortened(_readable(pairs), MAX_LENGTH)
    # A name that does not show all of the values could be that of another job as well.
    return name if name == ",".join(pairs) else f"{name}-{_digest(chosen)}"


def outline(words: Sequence[str]) -> list[str]:
    """Return the overrides of a sweep, with only the keys of those that vary, so that sweeps over other values have the same outline.

    >>> outline(["-m", "seed=0,1", "++optimizer.lr=0.1", "data.source=photos (1)", "hydra/launcher=joblib"])
    ["data.source='photos (1)'", 'optimizer.lr=0.1', 'seed']

    Args:
        words: Overrides and flags, as typed or as Hydra records them.
    """
    parsed = _parse([text for text in words if "=" in text and not text.startswith(("-", "hydra.", "hydra/"))])
    return sorted(one.key_or_group if one.is_sweep_override() else str(one.input_line).lstrip("+") for one in parsed)


def _parse(words: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(accept_any_key(words))


def _pairs(overrides: Sequence[str]) -> list[str]:
    """Return overrides with the last part of their keys, or with whole keys if these parts are not unique."""
    split = [text.lstrip("+~").partition("=") for text in overrides]
    short = [key.rpartition(".")[2] for key, _, _ in split]
    is_unique = len(set(short)) == len(short)
    return [f"{last if is_unique else key}={value}" for last, (key, _, value) in zip(short, split, strict=True)]


def _readable(pairs: Sequence[str]) -> str:
    """Return the pairs as text that every file system accepts in a name, and every shell without quotes."""
    cleaned = [re.sub(r"[\[\]{}'\" ]", "", pair).replace(",", "+") for pair in pairs]
    text = ",".join(cleaned) or "defaults"
    return "".join(sign if sign.isalnum() or sign in "._-+=,@%" else "_" for sign in text)


def _shortened(text: str, length: int) -> str:
    return text.encode()[:length].decode(errors="ignore")


def _digest(overrides: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(overrides).encode(errors="surrogateescape"), digest_size=3).hexdigest()
