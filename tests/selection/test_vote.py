"""Checkpoints that a vote keeps, and the meaning of its values."""

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from small_runs import compose

from acclimate.scores.domain_accuracy import SourceAccuracy
from acclimate.scores.target_score import TargetScore
from acclimate.selection.vote import Vote
from acclimate.training import assembly


class Fixed(TargetScore):
    """A score with a given value."""

    name = "fixed"

    def add_batch(self, domain, prediction, labels):
        pass

    def value(self):
        return torch.tensor(self.given)


def judged(vote: Vote, step: int, *values: float, phase: str = "fit") -> float:
    for score, value in zip(vote.score.scores, values, strict=True):
        score.reset()
        score.given = value
    vote.score.reset()
    return float(vote.judge(SimpleNamespace(global_step=step, state=SimpleNamespace(fn=phase))))


def new_vote(num_scores: int = 3) -> Vote:
    return Vote({str(number): Fixed() for number in range(num_scores)})


def test_the_winner_of_most_scores_is_kept_though_another_has_the_better_mean():
    vote = new_vote()
    first = judged(vote, 10, 0.5, 0.5, 0.5)
    assert judged(vote, 20, 0.6, 0.6, 0.1) > first
    assert vote.kept == 20
    assert judged(vote, 30, 0.5, 0.5, 0.9) < judged(vote, 20, 0.6, 0.6, 0.1)
    assert vote.kept == 20


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_with_a_score_that_is_not_finite_has_no_vote(first, value):
    vote = new_vote(2)
    if not first:
        judged(vote, 10, 0.1, 0.1)
    assert not judged(vote, 20, 0.9, value) < float("inf")
    assert judged(vote, 30, 0.2, 0.2) > 0
    assert vote.kept == 30


def test_a_tie_keeps_the_earlier():
    vote = new_vote(2)
    value = judged(vote, 10, 0.2, 0.8)
    assert judged(vote, 20, 0.8, 0.2) == value
    assert vote.kept == 10


def test_lead_is_the_difference_of_mean_ranks_among_all_so_far():
    vote = new_vote(2)
    assert judged(vote, 10, 0.1, 0.1) == 0.5
    # Beats the one other by both scores: 1 against 0.
    assert judged(vote, 20, 0.2, 0.2) == 1.5
    # Among three: 3/4 of the others are beaten, as by the kept one.
    assert judged(vote, 30, 0.3, 0.1) == pytest.approx(1.5 + (1 + 0.25) / 2 - (0.5 + 1) / 2)
    assert vote.kept == 20


def test_the_value_of_the_selected_checkpoint_is_the_mean_of_its_scores():
    vote = new_vote(2)
    judged(vote, 10, 0.2, 0.2)
    assert judged(vote, 10, 0.25, 0.75, phase="validate") == 0.5
    assert list(vote.history) == [10]


def test_what_is_recalled_votes_like_what_was_never_interrupted():
    uninterrupted, resumed = new_vote(2), new_vote(2)
    for vote in (uninterrupted, resumed):
        judged(vote, 10, 0.1, 0.3)
        judged(vote, 20, 0.2, 0.2)
    fresh = new_vote(2)
    fresh.load_state_dict(resumed.state_dict())
    assert judged(fresh, 30, 0.15, 0.25) == judged(uninterrupted, 30, 0.15, 0.25)
    assert fresh.state_dict() == uninterrupted.state_dict()


def test_the_kept_checkpoint_is_the_one_on_disk(archives, tmp_path):
    config = compose(tmp_path, *archives, "method=dann", "selection=vote", "trainer.max_epochs=4", "optimizer.lr=0.01")
    parts = assembly.build(config)
    parts.trainer.fit(parts.method, parts.data)
    checkpoint = next(callback for callback in parts.trainer.callbacks if isinstance(callback, ModelCheckpoint))
    assert parts.selection.kept == torch.load(checkpoint.best_model_path, weights_only=True)["global_step"]
    assert len(parts.selection.history) == 4


def test_a_vote_needs_a_score():
    with pytest.raises(ValueError, match="at least one score"):
        Vote({})


def test_the_vote_needs_the_target_if_one_score_does():
    assert new_vote().needs_target and not Vote({"source": SourceAccuracy()}).needs_target
