"""Prediction with the selected model of a run."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from acclimate.config.messages import listed
from acclimate.data.kind import Kind
from acclimate.data.loaders import EvaluationBatches
from acclimate.data.samples import Samples
from acclimate.errors import BadInputError, ConfigError, DataError, DivergenceError, first_line
from acclimate.inputs import Inputs, move
from acclimate.memory import explain_out_of_memory
from acclimate.runs.checkpoints import Checkpoint, kind_of, rebuild_classifier
from acclimate.types import Prediction


@dataclass(frozen=True)
class Predictions:
    """Predictions for N inputs, which can be unpacked: `labels, probabilities, features = model.predict(inputs)`.

    Attributes:
        labels: Name of the most probable class of each input, a list of N; empty for an input that cannot be read.
        probabilities: Probabilities of all K classes in the order of `Predictor.classes`, float32, shape (N, K), on the CPU; NaN
            for an input that cannot be read.
        features: Inputs of the head, float32, shape (N, D), on the CPU, with the same exception; None unless requested.
        problems: Reasons why inputs cannot be read, by their numbers; empty unless `on_bad_image` is `skip`.
    """

    labels: list[str]
    probabilities: Tensor
    features: Tensor | None = None
    problems: Mapping[int, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.labels, self.probabilities, self.features))


class Predictor:
    """The selected classifier of a run, with the same preprocessing as in the run's evaluation.

    It needs neither Hydra nor Lightning.

    Args:
        checkpoint: A checkpoint from `read_checkpoint`.
        trust: Modules or full names of targets that are allowed in addition to those of this package.
        device: The device to compute on, such as `cpu` or `cuda:1`; None: the first GPU, or the CPU if there is none.

    Attributes:
        classes: Names of the K classes, in the order of the probabilities.
        kind: The kind of its inputs.

    Raises:
        ConfigError: If the checkpoint has no trained head, its model is not trusted, or there is no such device.
    """

    def __init__(self, checkpoint: Checkpoint, *, trust: Collection[str] = (), device: str | torch.device | None = None) -> None:
        data = checkpoint["config"]["data"]
        self.classes: list[str] = checkpoint["classes"]
        self.config = checkpoint["config"]
        self.kind: Kind = kind_of(checkpoint, trust)
        self.batch_size: int = data.get("eval_batch_size", 256)
        with explain_out_of_memory(self.config, self.kind.settings(), "Use a machine with more memory."):
            classifier = rebuild_classifier(checkpoint, trust)
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self._classifier = classifier.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"device={device} cannot be used: {first_line(error)}. Give device='cpu'.") from error

    def __repr__(self) -> str:
        return f"Predictor({len(self.classes)} classes of {self.kind.spec.noun}: {listed(self.classes)}; on {self.device})"

    def predict(
        self,
        inputs: Any,
        *,
        features: bool = False,
        batch_size: int | None = None,
        max_pixels: int | None = None,
        on_bad_image: Literal["error", "skip"] | None = None,
    ) -> Predictions:
        """Predict the classes of inputs.

        Args:
            inputs: Inputs of the kind that the model was trained on, see `read` of the kind, such as `Images.read` or `Vectors.read`.
            features: Whether to return the features as well.
            batch_size: Inputs per batch; None: `data.eval_batch_size` of the run.
            max_pixels: Largest number of pixels of an image file; None: `data.max_pixels` of the run.
            on_bad_image: `error` refuses images that cannot be read; `skip` leaves their labels empty and gives the reasons in
                `problems`; None: `data.on_bad_image` of the run.

        Returns:
            The predictions, in the order of the inputs.

        Raises:
            ConfigError: If `batch_size` is below 1, or a batch does not fit into memory.
            DataError: If there are no inputs, or one cannot be read.
            DivergenceError: If a prediction is not finite.
        """
        kind = self.kind_with(max_pixels=max_pixels, on_bad_image=on_bad_image)
        samples = kind.read(inputs)
        problems = kind.problems(samples) if kind.settings().get("on_bad_image") == "skip" else {}
        try:
            return self.predict_samples(samples, features=features, batch_size=batch_size, problems=problems)
        except BadInputError as error:
            message = f"{error.name} {error.problem}, or leave its label empty: on_bad_image='skip'."
            raise BadInputError(message, error.name, error.problem) from error

    def kind_with(self, **settings: Any) -> Kind:
        """Return the kind of input with other settings, unless they are None.

        Raises:
            ConfigError: If there is no such setting, or it does not have such a value.
        """
        return self.kind.changed(**{key: value for key, value in settings.items() if value is not None})

    def predict_samples(
        self, samples: Samples, *, features: bool = False, batch_size: int | None = None, problems: Mapping[int, str] | None = None
    ) -> Predictions:
        """Predict the classes of samples.

        Args:
            samples: Samples of the kind that the model was trained on.
            features: As for `predict`.
            batch_size: As for `predict`.
            problems: Reasons why samples cannot be read, by their numbers; the other samples are predicted.
        """
        if len(samples) == 0:
            raise DataError("There are no inputs. Give at least one.")
        if problems:
            return self._predict_others(samples, problems, features=features, batch_size=batch_size)
        size = self.batch_size if batch_size is None else batch_size
        if not isinstance(size, int) or size < 1:
            raise ConfigError(f"batch_size={size} must be a whole number of {self.kind.spec.noun}, at least 1.")
        batches = EvaluationBatches(samples, self.kind.view("plain"), batch_size=size, labelled=False)
        lower = f"Type a lower batch_size, such as batch_size={max(size // 2, 1)}."
        probabilities, found_features = [], []
        with explain_out_of_memory(self.config, {"batch_size": size}, lower):
            for number in range(len(batches)):
                prediction = self._compute(batches[number].inputs)
                shares = prediction.logits.softmax(dim=1).cpu()
                wrong = (~shares.isfinite().all(dim=1)).nonzero()
                if len(wrong):
                    place = number * size + int(wrong[0])
                    raise DivergenceError(
                        f"The prediction for {samples.name(place) or f'inputs[{place}]'} is not finite: the input is not finite, or "
                        "the training of the run has diverged. Use another run, or train it again with a lower optimizer.lr."
                    )
                probabilities.append(shares)
                if features:
                    found_features.append(prediction.features.cpu())
        rows = torch.cat(probabilities)
        labels = [self.classes[label] for label in rows.argmax(dim=1).tolist()]
        return Predictions(labels, rows, torch.cat(found_features) if features else None)

    def _predict_others(self, samples: Samples, problems: Mapping[int, str], *, features: bool, batch_size: int | None) -> Predictions:
        """Predict the samples without problems, and leave the places of the others empty."""
        readable = [number for number in range(len(samples)) if number not in problems]
        labels, probabilities = [""] * len(samples), torch.full((len(samples), len(self.classes)), torch.nan)
        found_features = None
        if readable:
            found = self.predict_samples(samples.take(readable), features=features, batch_size=batch_size)
            probabilities[readable] = found.probabilities
            for number, label in zip(readable, found.labels, strict=True):
                labels[number] = label
            if found.features is not None:
                found_features = found.features.new_full((len(samples), found.features.shape[1]), torch.nan)
                found_features[readable] = found.features
        return Predictions(labels, probabilities, found_features, dict(problems))

    @torch.inference_mode()
    def _compute(self, inputs: Inputs) -> Prediction:
        prediction: Prediction = self._classifier(move(inputs, self.device))
        return prediction
