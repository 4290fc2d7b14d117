"""Tables in CSV and Parquet files: named columns of texts."""

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.config.messages import listed
from acclimate.data.class_labels import read_labels
from acclimate.errors import ConfigError, DataError
from acclimate.types import PARTS

SUFFIXES = (".csv", ".csv.gz", ".parquet")
SEPARATORS = ",;\t|"


def read_frame(path: Path, *, only_texts: bool = False) -> Any:
    """Read a table as a data frame of pandas, whose columns have different names.

    Args:
        path: A CSV file, with commas, semicolons, tabs or bars between the columns, perhaps compressed (.csv.gz); or a Parquet file.
        only_texts: Whether a CSV file has no numbers, so that 007 and NA are texts like others.

    Raises:
        DataError: If there is no such file, or it cannot be read.
        ConfigError: If a package is missing that reads it.
    """
    import pandas

    if not path.is_file() or not path.name.endswith(SUFFIXES):
        raise DataError(f"{path} is not a table. Give an existing file that ends in {' or '.join(SUFFIXES)}.")
    try:
        if path.suffix == ".parquet":
            frame = pandas.read_parquet(path)
        else:
            as_texts: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_values": [""]}
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
                separator = max(SEPARATORS, key=file.readline().count)
            # Pandas would rename columns that are called alike.
            names = pandas.read_csv(path, header=None, nrows=1, sep=separator, **as_texts).iloc[0].tolist()
            frame = pandas.read_csv(path, sep=separator, **(as_texts if only_texts else {}))
            frame.columns = names if len(names) == len(frame.columns) else frame.columns
    except ImportError as error:
        raise ConfigError("Parquet files need a package that is not installed. Type pip install 'acclimate[parquet]'.") from error
    # Whatever the bytes of a damaged or foreign file lead the readers to.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as a table: {reason}") from error
    frame.columns = [str(name) for name in frame.columns]
    names = list(frame.columns)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several columns called {listed(doubled)}. Rename them.")
    return frame


def texts(frame: Any, path: Path, key: str, name: str) -> list[str]:
    """Return a column as texts.

    Args:
        frame: As `read_frame` returns it.
        path: Its file, for messages.
        key: The key of the configuration that names the column, for messages.
        name: Of the column.

    Raises:
        DataError: If there is no such column, or a row has nothing in it.
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
