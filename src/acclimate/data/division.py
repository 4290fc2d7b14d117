"""Division of a domain into parts, which its owner may have divided completely, partly or not at all."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from acclimate.data.domains import Parts
from acclimate.data.samples import Samples
from acclimate.data.splitting import split

log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")


def divide(given: Mapping[str, Samples], *, fractions: Mapping[str, float], seed: int, what: str | Path, is_target: bool) -> Parts:
    """Divide data by its contents, the source class by class, the target without using its classes.

    A source without a test part gets none; for a target, half of the validation part is kept for testing.

    Args:
        given: The existing parts, or all samples under the key `all`. All have digests.
        fractions: Shares of `val` and `test`, if they are missing.
        seed: Seed of the division.
        what: Name of the domain's data for messages.
        is_target: Whether the domain is the target.

    Raises:
        DataError: If a part would be empty.
    """

    def share(samples: Samples, fractions: Sequence[float], name: str) -> list[Samples]:
        digests = samples.digests()
        assert digests is not None
        labels = None if is_target else samples.labels
        return [samples.take(part) for part in split(digests, labels, fractions=fractions, seed=seed, what=name)]

    parts = dict(given)
    if "all" in parts:
        return Parts(*share(parts["all"], list(fractions.values()), str(what)))
    lacks_test = "test" not in parts
    if "val" not in parts:
        wanted = [fractions["val"]] + [fractions["test"]] * (lacks_test and is_target)
        parts |= dict(zip(PARTS, share(parts["train"], wanted, f"The training part of {what}"), strict=False))
    elif lacks_test and is_target:
        # Selection uses no labels of it, but an estimate on the samples used for selection would still be optimistic.
        parts["val"], parts["test"] = share(parts["val"], [0.5], f"The validation part of {what}")
    if lacks_test and is_target:
        log.warning("%s has no test part: a part of %s is kept for testing.", what, "val" if "val" in given else "train")
    elif lacks_test:
        log.warning(
            "%s has no test part: source/val_accuracy is that of samples used for selection, and there is no source/test_accuracy.",
            what,
        )
    return Parts(parts["train"], parts["val"], parts.get("test"))
