import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, paired_views, tiny_method
from torch import nn

from acclimate.methods.simclr import SimClr


def plain_simclr(method, batch, temperature=0.2):
    """Chen et al., Algorithm 1, view by view: neighbours are the two views of an image."""
    classifier, projector = method.classifier, method.projector
    pairs = {"source": [batch.source.inputs, batch.source.second_view], "target": batch.target.views}
    projections = {}
    for domain, views in pairs.items():
        hidden = [torch.relu(projector[0](classifier.bottleneck(classifier.backbone(images)))) for images in views]
        projections[domain] = [view for pair in zip(*map(projector[2], hidden), strict=True) for view in pair]
    if method.negatives == "batch":
        projections = {"both": [*projections["source"], *projections["target"]]}

    def similarity(one, other):
        return (one @ other) / (one.norm() * other.norm())

    losses = []
    for views in projections.values():
        total = 0
        for i, view in enumerate(views):
            partner = i + 1 if i % 2 == 0 else i - 1
            others = sum(torch.exp(similarity(view, other) / temperature) for k, other in enumerate(views) if k != i)
            total = total - torch.log(torch.exp(similarity(view, views[partner]) / temperature) / others)
        losses.append(total / len(views))
    loss = sum(losses) / len(losses)
    return Objectives({"contrastive": loss}, classifier=loss, added=loss)


@pytest.mark.parametrize("negatives", ["domain", "batch"])
@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes, negatives):
    method = tiny_method(SimClr, negatives=negatives, temperature=0.2, projector_width=5, num_projected=3)
    assert_same_step(method, paired_views(*sizes), plain_simclr)


def test_projector_has_the_paper_s_layers_and_belongs_to_the_method():
    method = tiny_method(SimClr, projector_width=5, num_projected=3)
    assert [type(layer) for layer in method.projector] == [nn.Linear, nn.ReLU, nn.Linear]
    assert (method.projector[0].out_features, method.projector[2].out_features) == (5, 3)
    assert not any("projector" in name for name, _ in method.classifier.named_parameters())
