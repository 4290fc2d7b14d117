"""A trained model in use."""

from collections.abc import Callable, Collection, Iterable
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from acclimate.data.domains import ImageSet
from acclimate.data.images.image_files import MAX_PIXELS
from acclimate.data.images.loose_images import LooseImage, LooseImages
from acclimate.data.images.views import View, shorter_side
from acclimate.data.loaders import EvaluationBatches
from acclimate.errors import ConfigError, DataError, DivergenceError
from acclimate.memory import explain_out_of_memory
from acclimate.runs.checkpoints import Checkpoint, rebuild_classifier
from acclimate.types import Prediction, Unlabelled


class Predictions(NamedTuple):
    """Predictions for N inputs.

    Attributes:
        labels: The most probable class of each input, N names.
        probabilities: Of all K classes in the order of `Predictor.classes`, float32 in [0, 1], shape (N, K), on the CPU.
        features: The values that the head is applied to, float32, shape (N, D), on the CPU; None unless they were asked for.
    """

    labels: list[str]
    probabilities: Tensor
    features: Tensor | None = None


class Predictor:
    """The selected classifier of a run, which sees inputs as the evaluation of the run did.

    It needs neither Hydra nor Lightning.

    Args:
        checkpoint: As `read_checkpoint` returns it.
        trust: Modules or full names of targets that the model may be built from beside those of this package.
        device: That computes, such as `cpu` or `cuda:1`; None takes the first GPU, or the CPU where there is none.

    Attributes:
        classes: K names, in the order of the probabilities.

    Raises:
        ConfigError: If the checkpoint has no trained head, its model is not to be built, or there is no such device.
    """

    def __init__(self, checkpoint: Checkpoint, *, trust: Collection[str] = (), device: str | torch.device | None = None) -> None:
        data = checkpoint["config"]["data"]
        self.classes: list[str] = checkpoint["classes"]
        self.config = checkpoint["config"]
        self.crop: float = data.get("crop", 1.0)
        self.image_size: int = checkpoint["image_size"]
        self.max_pixels: int = data.get("max_pixels", MAX_PIXELS)
        self.batch_size: int = data.get("eval_batch_size", 256)
        with explain_out_of_memory(self.config, {"image_size": self.image_size}, "Use a machine with more memory."):
            classifier = rebuild_classifier(checkpoint, trust)
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self._classifier = classifier.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"device={device} cannot be used: {str(error).splitlines()[0]} Give device='cpu'.") from error

    @property
    def shorter_side(self) -> int:
        """The shorter side of an image in pixels, in front of the centre crop."""
        return shorter_side(self.image_size, self.crop)

    def predict(
        self,
        inputs: LooseImage | Iterable[LooseImage],
        *,
        features: bool = False,
        batch_size: int | None = None,
        max_pixels: int | None = None,
    ) -> Predictions:
        """Predict the classes of images.

        Args:
            inputs: One image or several: paths of files, arrays (uint8, shape (H, W), (H, W, 3) or (H, W, 4)) and images of
                Pillow, of any sizes, also mixed; or one array of shape (N, H, W, 3). Of a large JPEG that is given as a path
                only the needed resolution is decoded, so its probabilities may differ a little from those of its pixels.
            features: Whether to return features, too.
            batch_size: Images that are computed together; None takes `data.eval_batch_size` of the run.
            max_pixels: Most pixels that a file may have; None takes `data.max_pixels` of the run.

        Returns:
            In the order of the inputs.

        Raises:
            ConfigError: If `batch_size` is below 1, or the memory does not suffice.
            DataError: If there are no inputs, or one is no image or not a whole one.
            DivergenceError: If a prediction is not finite.
        """
        is_one = isinstance(inputs, str | PathLike | Image.Image) or (isinstance(inputs, np.ndarray) and inputs.ndim < 4)
        images: list[LooseImage] = [inputs] if is_one else list(inputs)  # type: ignore[arg-type, list-item]
        limit = self.max_pixels if max_pixels is None else max_pixels
        loose = LooseImages(images, shorter_side=self.shorter_side, max_pixels=limit)
        return self.predict_set(loose, loose.name, features=features, batch_size=batch_size)

    def predict_set(
        self, images: ImageSet, name: Callable[[int], str], *, features: bool = False, batch_size: int | None = None
    ) -> Predictions:
        """Predict the classes of a set of images.

        Args:
            images: Reduced to `shorter_side`, if to any size.
            name: Returns the words that a message uses for an image, by its index.
            features: As for `predict`.
            batch_size: As for `predict`.
        """
        if len(images) == 0:
            raise DataError("There are no inputs. Give at least one image.")
        size = self.batch_size if batch_size is None else batch_size
        if size < 1:
            raise ConfigError(f"batch_size={size} must be a whole number of images, at least 1.")
        view = View("plain", image_size=self.image_size, crop=self.crop)
        batches = EvaluationBatches(images, view, batch_size=size, labelled=False)
        lower = f"Type a lower batch_size, such as batch_size={max(size // 2, 1)}."
        probabilities, found_features = [], []
        with explain_out_of_memory(self.config, {"batch_size": size}, lower):
            for number in range(len(batches)):
                batch = batches[number]
                assert isinstance(batch, Unlabelled)
                prediction = self._compute(batch.inputs)
                shares = prediction.logits.softmax(dim=1).cpu()
                wrong = (~shares.isfinite().all(dim=1)).nonzero()
                if len(wrong):
                    raise DivergenceError(
                        f"The prediction for {name(number * size + int(wrong[0]))} is not finite: the image holds such values, or the "
                        "training of the run has diverged. Use another run, or train it again with a lower optimizer.lr."
                    )
                probabilities.append(shares)
                if features:
                    found_features.append(prediction.features.cpu())
        rows = torch.cat(probabilities)
        labels = [self.classes[label] for label in rows.argmax(dim=1).tolist()]
        return Predictions(labels, rows, torch.cat(found_features) if features else None)

    @torch.inference_mode()
    def _compute(self, inputs: Tensor) -> Prediction:
        prediction: Prediction = self._classifier(inputs.to(self.device))
        return prediction
