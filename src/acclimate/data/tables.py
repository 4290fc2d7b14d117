"""Tables in CSV and Parquet files: named columns of texts."""

import gzip
import logging
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.config.messages import listed
from acclimate.config.suggestions import TABLES, suggest_readers
from acclimate.data.class_labels import read_labels
from acclimate.errors import ConfigError, DataError, first_line
from acclimate.types import PARTS

log = logging.getLogger(__name__)

SEPARATORS = ",;\t|"
# The empty header of a column of row numbers or behind a last separator, and what pandas calls it.
NO_NAME = re.compile(r"(?:Unnamed: [\d.]+)?")


def has_ending(path: Path, *endings: str) -> bool:
    """Return True if the name of a file has one of the endings, in any case of letters."""
    return path.name.lower().endswith(endings)


def first_line_of(path: Path) -> tuple[str, str]:
    """Return the first line of a CSV file, and the sign between its columns."""
    with gzip.open(path, "rt", encoding="utf-8-sig") if has_ending(path, ".gz") else path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    return header, max(SEPARATORS, key=header.count)


def read_frame(path: Path, *, only_texts: bool = False) -> Any:
    """Read a table as a data frame of pandas, whose columns have different names; columns without a name are left out.

    Args:
        path: A CSV file, with commas, semicolons, tabs or bars between the columns, perhaps compressed (.csv.gz); or a Parquet file.
        only_texts: Whether a CSV file has no numbers, so that 007 and NA are texts like others.

    Raises:
        DataError: If there is no such file, or it cannot be read.
        ConfigError: If a package is missing that reads it.
    """
    import pandas

    if not path.is_file() or not has_ending(path, *TABLES):
        raise DataError(f"{path} is not a table. Give an existing file that ends in {' or '.join(TABLES)}.{suggest_readers(path)}")
    try:
        if has_ending(path, ".parquet"):
            frame = pandas.read_parquet(path)
        else:
            as_texts: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_values": [""]}
            header, separator = first_line_of(path)
            # Spaces behind all separators of the header are no part of what follows.
            form: dict[str, Any] = {"sep": separator, "skipinitialspace": 0 < header.count(separator) == header.count(f"{separator} ")}
            # Pandas would rename columns that are called alike.
            names = pandas.read_csv(path, header=None, nrows=1, **form, **as_texts).iloc[0].fillna("").tolist()
            # Types of whole columns, not of pieces of them.
            frame = pandas.read_csv(path, low_memory=False, **form, **(as_texts if only_texts else {}))
            frame.columns = names if len(names) == len(frame.columns) else frame.columns
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read as a table: it is not in UTF-8. Save it in this encoding.") from error
    except ImportError as error:
        raise ConfigError("Parquet files need a package that is not installed. Type pip install 'acclimate[parquet]'.") from error
    # The bytes of a damaged or foreign file can make the readers raise anything.
    except Exception as error:
        raise DataError(f"{path} cannot be read as a table: {first_line(error)}.") from error
    frame.columns = [str(name) for name in frame.columns]
    if nameless := [name for name in frame.columns if NO_NAME.fullmatch(name)]:
        if not only_texts:
            log.info("Left out of %s: %s without a name.", path, "a column" if len(nameless) == 1 else f"{len(nameless)} columns")
        frame = frame.loc[:, [name not in nameless for name in frame.columns]]
    names = list(frame.columns)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several columns called {listed(doubled)}. Rename them.")
    return frame


def has_labels(frame: Any, label: str) -> bool:
    """Return True if a frame has the column of classes, and it is not empty."""
    return label in frame.columns and not frame[label].isna().all()


def texts(frame: Any, path: Path, key: str, name: str) -> list[str]:
    """Return a column as texts.

    Args:
        frame: A data frame from `read_frame`.
        path: Its file, for messages.
        key: Key of the configuration that names the column, for messages.
        name: Name of the column.

    Raises:
        DataError: If there is no such column, or a row has no value in it.
    """
    if name not in frame.columns:
        raise DataError(f"{path} has no column {name}, which {key} names. It has {listed(list(frame.columns))}. Type {key}=COLUMN.")
    values = frame[name].tolist()
    if missing := sum(value is None or (isinstance(value, float) and math.isnan(value)) for value in values):
        raise DataError(f"{missing} of the {len(values)} rows of {path} have no {name}. Fill it in, or leave these rows out.")
    return [str(value) for value in values]


def class_names(values: np.ndarray[Any, Any], path: Path, name: str) -> list[str]:
    """Return the class of each row by name, see `read_labels`."""
    names, places = read_labels(values, f"{name} of {path}")
    return [names[place] for place in places.tolist()]


def parts_of(frame: Any, path: Path, split: str) -> list[str]:
    """Return the part of each row: `train`, `val` or `test`."""
    parts = texts(frame, path, "data.split", split)
    if wrong := next((part for part in parts if part not in PARTS), None):
        raise DataError(f"The column {split} of {path} has {wrong!r}, but may have only {', '.join(PARTS)}.")
    return parts
