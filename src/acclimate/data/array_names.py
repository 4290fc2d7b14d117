"""Names of the arrays in an archive, by which samples, labels and parts are recognised."""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from acclimate.data.part_names import PART_NAMES, part_named
from acclimate.errors import DataError

# Names that data sets and tools give to samples and labels, before or after that of a part, in any case: x_train, train_images, testY.
SAMPLES = "x|images?|imgs?|data|inputs?"
LABELS = "y|labels?|targets?"
ANY_PART = "|".join(PART_NAMES.values())
PATTERN = re.compile(rf"(?:({ANY_PART})[_ -]?)?(?:({SAMPLES})|({LABELS}))(?:[_ -]?({ANY_PART}))?", re.IGNORECASE)


class ArrayNames(NamedTuple):
    """Names of the arrays of a part; None if it has no labels."""

    samples: str
    labels: str | None


def find_parts(names: Collection[str], what: str) -> dict[str, ArrayNames]:
    """Return the names of the arrays of each part, or of all samples together under the key `all`.

    Args:
        names: Names of all arrays in an archive.
        what: Name of the archive for messages.

    Raises:
        DataError: If several arrays could be the same, labels have no samples, or there are no samples to train on.

    >>> find_parts(["train_images", "train_labels", "test_images", "about"], "a.npz")["train"]
    ArrayNames(samples='train_images', labels='train_labels')
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names):
        if (match := PATTERN.fullmatch(name)) and not (match[1] and match[4]):
            part = part_named(match[1] or match[4] or "") or "all"
            found.setdefault((part, "x" if match[2] else "y"), []).append(name)
    chosen = {key: _only(several, key, what) for key, several in found.items()}
    given = [part for part in (*PART_NAMES, "all") if (part, "x") in chosen]
    has = f"{what} has the arrays {', '.join(sorted(names)) or '(none)'}"
    if lonely := [(part, name) for (part, kind), name in chosen.items() if kind == "y" and part not in given]:
        part, name = lonely[0]
        raise DataError(
            f"{has}, but no {_usual('x', part)} for {name}. Name the samples of a part x_train and its labels y_train, and so on."
        )
    if not given or ("train" not in given and "all" not in given):
        raise DataError(f"{has}, but no x_train. Name the arrays x_train, y_train, x_val, y_val, x_test and y_test, or x and y.")
    if "all" in given and len(given) > 1:
        raise DataError(
            f"{has}: {chosen['all', 'x']} belongs to no part, but there are parts. Leave it out, or name its part, such as x_val."
        )
    return {part: ArrayNames(chosen[part, "x"], chosen.get((part, "y"))) for part in given}


def _usual(kind: str, part: str) -> str:
    return kind if part == "all" else f"{kind}_{part}"


def _only(names: list[str], key: tuple[str, str], what: str) -> str:
    """Return the only name of an array, or the usual one if there are several."""
    part, kind = key
    if len(names) > 1 and _usual(kind, part) not in names:
        raise DataError(f"{what} has {_and(names)}, which may both be {_usual(kind, part)}. Call the right one {_usual(kind, part)}.")
    return names[0] if len(names) == 1 else _usual(kind, part)


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)
