"""Leakage: test samples on which a checkpoint was trained or selected."""

import logging
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeGuard

import torch
from torch import Tensor

from acclimate.data.domains import Domains
from acclimate.data.samples import Samples
from acclimate.errors import ConfigError, DataError

log = logging.getLogger(__name__)

Use = Literal["trained", "selected"]


class Seen(NamedTuple):
    """Unique digests of a run's training samples and of those used for its selection, int64, shape (N,)."""

    trained: Tensor
    selected: Tensor


class Leak(NamedTuple):
    """Samples of a part of a domain, such as `target/test`, that a checkpoint was trained or selected on."""

    part: str
    use: Use
    num_seen: int
    num_inputs: int
    example: str


def seen_samples(domains: Domains, origin: Mapping[str, Any] | None, *, trains_on_target: bool) -> Seen | None:
    """Collect the digests of the samples that a run trains on and selects its checkpoint by.

    Args:
        domains: The data of the run.
        origin: The checkpoint that it starts from, whose samples count as well.
        trains_on_target: Whether the target is used in training.

    Returns:
        The digests; None if some are unknown, because a data set or the origin has none.
    """
    known = domains.by_name()
    trained = [parts.train.digests() for domain, parts in known.items() if domain == "source" or trains_on_target]
    selected = [parts.val.digests() for parts in known.values()]
    if origin is not None:
        before = seen_by(origin)
        trained.append(None if before is None else before.trained)
        selected.append(None if before is None else before.selected)
    if not (_are_known(trained) and _are_known(selected)):
        return None
    return Seen(*(torch.cat(digests).unique() for digests in (trained, selected)))  # type: ignore[no-untyped-call]


def _are_known(digests: list[Tensor | None]) -> TypeGuard[list[Tensor]]:
    return all(one is not None for one in digests)


def seen_by(checkpoint: Mapping[str, Any]) -> Seen | None:
    """Read the digests of the samples that a checkpoint has seen; None if it has none.

    Raises:
        ConfigError: If they are damaged.
    """
    seen = checkpoint.get("seen")
    if seen is None:
        return None
    if isinstance(seen, dict) and [*seen] == [*Seen._fields] and all(map(_holds_digests, seen.values())):
        return Seen(**seen)
    raise ConfigError("The checkpoint is damaged: its list of training samples cannot be read. Train the run again.")


def _holds_digests(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.int64 and value.ndim == 1


def find_leaks(domains: Domains, seen: Seen | None) -> list[Leak]:
    """Find the samples of each test part used in training or selection, and those of each validation part used in training."""
    leaks: list[Leak] = []
    if seen is None:
        return leaks
    for part, samples in _evaluated(domains).items():
        digests = samples.digests()
        if digests is None:
            continue
        trained = torch.isin(digests, seen.trained)
        selected = torch.isin(digests, seen.selected) & ~trained
        uses: dict[Use, Tensor] = {"trained": trained, "selected": selected} if part.endswith("test") else {"trained": trained}
        for use, found in uses.items():
            if found.any():
                name = samples.name(int(found.nonzero()[0]))
                example = "" if name is None else f", such as {name}"
                leaks.append(Leak(part, use, int(found.sum()), len(found), example))
    return leaks


def _evaluated(domains: Domains) -> dict[str, Samples]:
    return {
        f"{domain}/{part}": samples
        for domain, parts in domains.by_name().items()
        for part, samples in parts.by_name().items()
        if part != "train"
    }


def refuse_leaks(domains: Domains, checkpoint: Mapping[str, Any]) -> None:
    """Check, before a checkpoint is evaluated, that it has not seen the samples.

    Raises:
        DataError: If it has seen some of them.
    """
    if leaks := find_leaks(domains, seen_by(checkpoint)):
        raise DataError(
            f"This run has seen inputs that it should be evaluated on: {_describe(leaks)}. Accuracies on them would say too little about "
            "new inputs. If overrides of data made it so, such as data.split_seed, leave them out. If the data have copies, type "
            "allow_seen=true to evaluate on all of them and count those that were seen."
        )


def warn_of_leaks(leaks: list[Leak]) -> None:
    """Log that results include samples that the run has seen."""
    if leaks:
        log.warning("The results include inputs that the run has seen: %s. Accuracies on new inputs may be lower.", _describe(leaks))


def warn_if_unknown(domains: Domains, checkpoint: Mapping[str, Any]) -> None:
    """Log if samples cannot be compared with those that a checkpoint has seen."""
    is_told = checkpoint.get("seen") is not None
    unknown = [name for name, samples in _evaluated(domains).items() if not is_told or samples.digests() is None]
    if unknown:
        reason = "the data set has no digests()" if is_told else "its checkpoint does not list the inputs that trained it"
        log.warning("Whether the run has seen inputs of %s in training is not known: %s.", ", ".join(unknown), reason)


def count_seen(leaks: list[Leak]) -> dict[str, int]:
    """Return the number of samples of each part that were seen in training or selection, as metrics such as `target/test_seen`."""
    counts: dict[str, int] = {}
    for leak in leaks:
        counts[f"{leak.part}_seen"] = counts.get(f"{leak.part}_seen", 0) + leak.num_seen
    return counts


def _describe(leaks: list[Leak]) -> str:
    purposes = {"trained": "in training", "selected": "in the selection of its checkpoint"}
    return "; ".join(
        f"{leak.num_seen} of the {leak.num_inputs} {leak.part.replace('/', ' ')} inputs, {purposes[leak.use]}{leak.example}"
        for leak in leaks
    )
