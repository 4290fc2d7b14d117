import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, paired_views, tiny_method
from torch import nn

from acclimate.methods.barlow_twins import BarlowTwins


def plain_barlow_twins(method, batch, off_diagonal_weight=0.1):
    """Zbontar et al., Eq. 1 and 2, and Algorithm 1 with its loops written out; batch norm without its running statistics."""
    classifier, projector = method.classifier, method.projector

    def normalised(rows, layer):
        return layer.weight * (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + layer.eps).sqrt() + layer.bias

    embeddings = []
    for source, target in [(batch.source.inputs, batch.target.views[0]), (batch.source.second_view, batch.target.views[1])]:
        rows = torch.cat([classifier.bottleneck(classifier.backbone(images)) for images in (source, target)])
        for place in (0, 3):
            rows = torch.relu(normalised(rows @ projector[place].weight.T, projector[place + 1]))
        embeddings.append(rows @ projector[6].weight.T)
    first, second = (rows - rows.mean(0) for rows in embeddings)
    loss = 0
    for i in range(first.shape[1]):
        for j in range(first.shape[1]):
            c = (first[:, i] * second[:, j]).sum() / ((first[:, i] ** 2).sum().sqrt() * (second[:, j] ** 2).sum().sqrt())
            loss = loss + ((1 - c) ** 2 if i == j else off_diagonal_weight * c**2)
    return Objectives({"redundancy": loss}, classifier=loss, added=loss)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(BarlowTwins, off_diagonal_weight=0.1, projector_width=4), paired_views(*sizes), plain_barlow_twins)


def test_projector_has_the_paper_s_layers_and_belongs_to_the_method():
    method = tiny_method(BarlowTwins, projector_width=5)
    block = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(layer) for layer in method.projector] == [*block, *block, nn.Linear]
    assert {layer.out_features for layer in method.projector if isinstance(layer, nn.Linear)} == {5}
    assert not any("projector" in name for name, _ in method.classifier.named_parameters())
