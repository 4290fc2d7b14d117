"""Runs on images of other depths and channels than RGB in 8 bits, from the files to predictions."""

import numpy as np
import pytest
import tifffile
import torch
from small_runs import compose

from acclimate.data.images.arrays import Arrays
from acclimate.errors import DataError
from acclimate.inference import prediction
from acclimate.inputs import ImageSpec
from acclimate.models.backbones.pretrained import timm_backbone, torchvision_backbone
from acclimate.runs import checkpoints
from acclimate.training import run
from acclimate.types import Needs


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "cache"))


def write(root, *, channels, dtype, seed=0):
    random = np.random.default_rng(seed)
    full = 1 if dtype == np.float32 else 4095 if dtype == np.uint16 else 255
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir(parents=True)
        for number in range(12):
            values = random.random((16, 16, channels)) * 0.3 + 0.4 * label
            values[0, 0] = 0, *[1] * (channels - 1)
            tifffile.imwrite(root / name / f"{number}.tif", (values * full).astype(dtype), photometric="minisblack", planarconfig="contig")


@pytest.mark.parametrize("method", ["fine_tune", "dann_mcc_fixmatch", "simclr"])
@pytest.mark.parametrize(("channels", "dtype"), [(5, np.uint16), (2, np.float32), (4, np.uint8)])
def test_runs_train_on_other_channels_and_depths_and_predict(method, channels, dtype, tmp_path):
    write(tmp_path / "source", channels=channels, dtype=dtype)
    write(tmp_path / "target", channels=channels, dtype=dtype, seed=1)
    config = compose(
        tmp_path / "run",
        "data=image_folder",
        f"method={method}",
        f"data.source={tmp_path / 'source'}",
        f"data.target={tmp_path / 'target'}",
        f"data.channels={channels}",
        "data.num_workers=0",
        f"trainer.max_epochs={25 if method == 'fine_tune' else 1}",
        "data.source_view=plain",
    )
    run.train(config)
    checkpoint = checkpoints.read_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert checkpoint["inputs"]["value_range"] == {np.uint16: [0, 4095], np.float32: [0, 1], np.uint8: None}[dtype]
    if method == "fine_tune":
        rows = prediction.predict(checkpoint, tmp_path / "target")
        assert sum(row.name.startswith(row.label) for row in rows) > 18


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(
    ("make", "name"), [(torchvision_backbone, "resnet18"), (torchvision_backbone, "regnet_y_400mf"), (timm_backbone, "resnet10t")]
)
def test_backbones_take_other_channels(channels, make, name):
    backbone = make(None, name=name, inputs=ImageSpec(32, channels)).eval()
    assert backbone.inputs == ImageSpec(32, channels)
    images = torch.randint(0, 256, (2, channels, 32, 32), dtype=torch.uint8)
    features = backbone(images)
    assert features.shape == (2, backbone.num_features)
    assert torch.allclose(backbone(images.float() / 255), features, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        (np.full((8, 8, 4), 100, np.uint8) * [1, 1, 1, 0], {}, [255] * 3),
        (np.full((8, 8, 4), 100, np.uint8), {"channels": 4}, [100] * 4),
        (np.full((8, 8, 5), 1000, np.uint16), {"channels": 5, "value_range": [0, 4000]}, [0.25] * 5),
        (np.full((8, 8), 1000, np.uint16), {"value_range": [0, 4000]}, [0.25] * 3),
        (np.full((8, 8, 3), -0.5, np.float32), {"value_range": [-1, 1]}, [0.25] * 3),
        (np.full((8, 8, 3), np.nan, np.float32), {"nan": 1.0}, [255] * 3),
        (np.full((8, 8, 3), 100, np.uint8), {"channels": 1}, [100]),
    ],
)
def test_arrays_of_other_pixels(values, settings, expected, tmp_path):
    stored = np.stack([values] * 40).astype(np.uint8 if values.dtype == int else values.dtype)
    stored[:, 0, 0, ...] = np.arange(40).reshape(-1, *[1] * (stored.ndim - 3)) / (50 if stored.dtype.kind == "f" else 1)
    np.savez(tmp_path / "images.npz", x_train=stored, y_train=np.arange(40) % 2, x_test=stored, y_test=np.arange(40) % 2)
    data = Arrays(source=str(tmp_path / "images.npz"), image_size=8, **settings)
    data.prepare_for(spec=ImageSpec(8, len(expected)), needs=Needs(target=False), reveal_target_labels=False)
    images = data.kind.view("plain").look(data.domains.source.train.load([0, 1]), [])
    assert images.shape == (2, len(expected), 8, 8)
    assert images[0, :, 3, 3].tolist() == pytest.approx(expected)


def test_arrays_of_other_channels_are_refused_with_the_key(tmp_path):
    images = np.zeros((40, 8, 8, 5), np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=np.arange(40) % 2, x_test=images, y_test=np.arange(40) % 2)
    with pytest.raises(DataError, match=r"type data\.channels=5\."):
        Arrays(source=str(tmp_path / "images.npz")).read()
