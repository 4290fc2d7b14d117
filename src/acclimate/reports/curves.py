"""Curves of a run, from its event files or its CSV file, and the answers in its event files."""

import csv
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acclimate.runs.record import ANSWERS

# Longer events contain pictures or the configuration.
MAX_BYTES = 1 << 16
EVENT_FILES = "events.out.tfevents.*"
CSV_FILE = "metrics.csv"
# Not curves: results of the selected checkpoint, numbers that every logger writes, and ends of axes in TensorBoard.
NO_CURVES = ("final/", "hp_metric", "epoch", "range/")

Curve = list[tuple[int, float | None]]


def read_curves(folder: Path, *, max_points: int) -> dict[str, Curve]:
    """Return the steps and values of each curve with at least two points; values that are not finite are None.

    Files that cannot be read are ignored, as are damaged ends of files of killed runs.

    Args:
        folder: The folder of the run.
        max_points: Longer curves lose evenly spaced points, but not the last one.
    """
    curves: dict[str, Curve] = {}
    for file in _event_files(folder):
        _add_events(curves, file)
    if not curves:
        for file in sorted(folder.rglob(CSV_FILE)):
            _add_rows(curves, file)
    kept = {tag: curve for tag, curve in sorted(curves.items()) if len(curve) > 1 and not tag.startswith(NO_CURVES)}
    return {tag: _thinned(curve, max_points) for tag, curve in kept.items()}


def read_answers(folder: Path) -> list[str]:
    """Return the lines of the run's verdict, see `acclimate.diagnostics.verdict`; none without event files.

    Args:
        folder: The folder of the run.
    """
    texts = [
        value.tensor.string_val[0].decode(errors="replace")
        for file in _event_files(folder)
        for event in _events(file)
        for value in event.summary.value
        if value.tag == ANSWERS and value.tensor.string_val
    ]
    # A run that was trained for longer has several verdicts.
    return [line[2:] for text in texts[-1:] for line in text.splitlines() if line.startswith("- ")]


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob(EVENT_FILES), key=lambda file: file.name)


def _add_events(curves: dict[str, Curve], file: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import SessionLog  # type: ignore[import-untyped]

    for event in _events(file):
        if event.HasField("session_log") and event.session_log.status == SessionLog.START:
            # A resumed run writes again what a killed run logged after its last checkpoint.
            for tag, curve in curves.items():
                curves[tag] = [point for point in curve if point[0] < event.step]
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            if kind == "simple_value":
                _add(curves, value.tag, event.step, value.simple_value)
            elif kind == "tensor" and len(value.tensor.float_val) == 1:
                _add(curves, value.tag, event.step, value.tensor.float_val[0])


def _events(file: Path) -> Iterator[Any]:
    """Yield the events of a file: records of a length, its checksum, the event, and its checksum."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        with file.open("rb") as opened:
            while len(header := opened.read(12)) == 12:
                (length,) = struct.unpack("<Q", header[:8])
                if length > MAX_BYTES:
                    opened.seek(length + 4, 1)
                    continue
                contents = opened.read(length)
                if len(contents) < length:
                    return
                yield Event.FromString(contents)
                opened.seek(4, 1)
    except (OSError, OverflowError, ValueError, DecodeError):
        return


def _add_rows(curves: dict[str, Curve], file: Path) -> None:
    try:
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                step = int(row.pop("step"))
                for tag, text in row.items():
                    if text:
                        _add(curves, tag, step, float(text))
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return


def _add(curves: dict[str, Curve], tag: str, step: int, value: float) -> None:
    curve = curves.setdefault(tag, [])
    if curve and curve[-1][0] == step:
        # The first value of a curve is written twice, once with a description.
        curve.pop()
    curve.append((step, float(f"{value:.5g}") if math.isfinite(value) else None))


def _thinned(curve: Curve, max_points: int) -> Curve:
    if len(curve) <= max_points:
        return curve
    return [curve[round(number * (len(curve) - 1) / (max_points - 1))] for number in range(max_points)]
