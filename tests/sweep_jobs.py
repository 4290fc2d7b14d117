"""Jobs of sweeps that only return a number, and leave no more than the files of a finished run."""

from pathlib import Path

from acclimate.files.atomic_files import write_json
from acclimate.runs.record import write_record


def job_of(values):
    """A job whose value depends on its seed; exceptions are raised."""

    def job(config, record):
        value = values[config["seed"]]
        if isinstance(value, Exception):
            raise value
        return value

    return job


def written(value):
    """A job that leaves the files of a finished run."""

    def job(config, record):
        folder = Path(config["folder"])
        write_record(folder, config)
        score = value(config)
        write_json(folder / "metrics.json", {"selection/name": "x", "selection/value": score})
        return score

    return job
