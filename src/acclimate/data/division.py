"""Division of the user's data into parts: as given, as a table says, or by the contents of the samples."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from acclimate.config.messages import setting
from acclimate.data.datamodule import AdaptationData
from acclimate.data.domains import Parts
from acclimate.data.parts_file import read_parts
from acclimate.data.samples import Samples
from acclimate.data.splitting import Fold, split
from acclimate.errors import ConfigError, DataError
from acclimate.ranges import NonNegativeInt, OpenShare
from acclimate.types import PARTS, Domain

log = logging.getLogger(__name__)


def compiled(group: str | None) -> re.Pattern[str] | None:
    """Compile the regular expression of `data.group`.

    Raises:
        ConfigError: If it is not valid.
    """
    try:
        return None if group is None else re.compile(group)
    except re.error as error:
        raise ConfigError(
            f"data.group={group} is not a regular expression: {error}. Type, for example, {setting('data.group', 'patient_[0-9]+')}."
        ) from error


class DividedData(AdaptationData):
    """Base class of data sets of the user, which are divided into the parts that they lack.

    Args:
        val_fraction: Share of the samples that select the checkpoint, if the data have no such part.
        test_fraction: Share of the samples for the final test, if the data have no such part.
        split_seed: Seed of the division, independent of the run's seed.
        folds: Number of folds, at least 2, which take turns as the test part; None: test on `test_fraction`.
        fold: Number of the fold to test on, from 0.
        parts: Table of parts that a run has written, `parts.csv`, whose division is used again; None: a new division.
        **loading: Arguments of `AdaptationData`.

    Raises:
        ConfigError: If the numbers contradict each other.
    """

    def __init__(
        self,
        *,
        val_fraction: OpenShare = 0.2,
        test_fraction: OpenShare = 0.2,
        split_seed: int = 0,
        folds: Annotated[int, Ge(2)] | None = None,
        fold: NonNegativeInt = 0,
        parts: str | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        if min(val_fraction, test_fraction) <= 0 or val_fraction + test_fraction >= 1:
            raise ConfigError("data.val_fraction and data.test_fraction must be above 0 with a sum below 1.")
        if folds is None and fold != 0:
            raise ConfigError(f"data.fold={fold} is one of several folds. Say of how many, such as data.folds=5.")
        if folds is not None and fold >= folds:
            raise ConfigError(f"data.fold={fold} is not one of data.folds={folds}, which are numbered from 0 to {folds - 1}.")
        if folds is not None and parts is not None:
            raise ConfigError("data.parts names a division, and data.folds asks for another. Leave one of them out.")
        self.fractions = {"val": val_fraction, "test": test_fraction}
        self.split_seed = split_seed
        self.fold = None if folds is None else Fold(fold, folds)
        self.parts_file = None if parts is None else Path(parts)

    def divide(self, given: Mapping[str, Samples], what: str | Path, domain: Domain) -> Parts:
        """Divide samples by content into the parts that are missing, the source class by class, the target without using its classes.

        Without folds, a source that is already divided gets no test part. A target does: half of its validation part, if it has
        one.

        Args:
            given: Existing parts by name, or all samples under the key `all`; they must have digests.
            what: Name of the domain's data for messages.
            domain: Domain of the samples.

        Raises:
            DataError: If a part would be empty.
            ConfigError: If `folds` is set, but there is a test part.
        """
        parts, is_target = dict(given), domain == "target"
        if self.parts_file is not None:
            return read_parts(self.parts_file, given, domain, what)
        if self.fold is not None and "test" in parts:
            raise ConfigError(f"{what} has a test part of its own, so data.folds cannot choose another. Leave the key out.")
        if "all" in parts:
            return Parts(*self._split(parts["all"], list(self.fractions.values()), str(what), domain))
        lacks_test = "test" not in parts
        if "val" not in parts:
            wanted = [self.fractions["val"]] + [self.fractions["test"]] * (lacks_test and (is_target or self.fold is not None))
            found = self._split(parts["train"], wanted, f"The training part of {what}", domain)
            parts |= dict(zip(PARTS, found, strict=False))
        elif lacks_test and is_target:
            # Selection uses no labels, but an estimate on the samples that it used would still be too high.
            parts["val"], parts["test"] = self._split(parts["val"], [0.5], f"The validation part of {what}", domain)
        self._warn_of_divided_groups(parts, what)
        if lacks_test and is_target:
            log.warning("%s has no test part: a part of %s is kept for testing.", what, "val" if "val" in given else "train")
        elif lacks_test and "test" not in parts:
            log.warning(
                "%s has no test part: source/val_accuracy is of the samples that select the checkpoint, and there is no "
                "source/test_accuracy.",
                what,
            )
        return Parts(parts["train"], parts["val"], parts.get("test"))

    def _split(self, samples: Samples, fractions: Sequence[float], what: str, domain: Domain) -> list[Samples]:
        digests, strata = samples.digests(), None if domain == "target" else samples.labels
        assert digests is not None
        if samples.domains is not None:
            # Each domain is divided in the same proportions, and so is each class within each source.
            strata = samples.domains if strata is None else samples.domains * (int(strata.max()) + 1) + strata
        found = split(
            digests,
            strata,
            fractions=fractions,
            seed=self.split_seed,
            what=what,
            groups=self._groups(samples),
            fold=self.fold,
        )
        return [samples.take(part) for part in found]

    def _groups(self, samples: Samples) -> list[str] | None:
        """Return the group of each sample; None if there are no groups."""
        groups = [self.group_of(samples.name(index) or "") for index in range(len(samples))]
        known = [group for group in groups if group is not None]
        if not known:
            return None
        if len(known) < len(groups):
            raise DataError(
                f"data.group says of {len(known)} of the {len(groups)} samples what they belong to, but not of "
                f"{samples.name(groups.index(None))}. Change the key, or set it to null."
            )
        return known

    def _warn_of_divided_groups(self, parts: Mapping[str, Samples], what: str | Path) -> None:
        groups = {part: set(self._groups(samples) or ()) for part, samples in parts.items()}
        shared = sorted(group for group in set().union(*groups.values()) if sum(group in own for own in groups.values()) > 1)
        if shared:
            log.warning("%d groups of %s are in several of the parts that it is divided into, such as %s.", len(shared), what, shared[0])
