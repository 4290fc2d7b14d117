"""Names of the parts of a data set."""

import re

# Names that data sets and tools give to the parts, in any case.
PART_NAMES = {
    "train": "train|training|trn",
    "val": "val|valid|validate|validation|dev|development",
    "test": "test|testing|tst|eval|evaluation|holdout|hold[ _-]out",
}
# As in training_set, test-images and data_val.
PART_PATTERN = r"(?:(?:set|data|dataset|images?|imgs?)[ _-])?(?:{})(?:[ _-]?(?:set|data|dataset|images?|imgs?|split|part))?"


def part_named(name: str) -> str | None:
    """Return the part that a name usually means, or None.

    >>> part_named("Training"), part_named("valid"), part_named("test_set"), part_named("trainer")
    ('train', 'val', 'test', None)
    """
    return next((part for part, names in PART_NAMES.items() if re.fullmatch(PART_PATTERN.format(names), name, re.IGNORECASE)), None)
