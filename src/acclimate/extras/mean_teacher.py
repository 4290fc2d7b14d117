"""A term that remembers: a teacher that averages what the student has been."""

from torch import Tensor

from acclimate.extras.terms import StatefulTerm
from acclimate.losses.self_training import teacher_consistency
from acclimate.models.batch_norm import fixed_statistics
from acclimate.models.classifier import Classifier
from acclimate.models.moving_average import MovingAverage
from acclimate.ranges import Share, ShareBelowOne


class MeanTeacher(StatefulTerm):
    """The student agrees with a teacher whose weights are the moving average of its own.

    Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, in the form that French, Mackiewicz and
    Fisher, "Self-ensembling for Visual Domain Adaptation", ICLR 2018, give it for adaptation, see `teacher_consistency`.
    The teacher predicts the target's first view and the student the strong one. Departures: the papers evaluate the
    teacher and we the student, which is the classifier of every method; and we leave French et al.'s class balance to
    other terms, such as `information_maximisation`.

    The teacher takes in the student in every batch before it predicts, which is after the last step. It predicts in the
    student's mode: normalised by the batch, or by the running statistics if those are frozen. Its own running statistics
    are copies of the student's, and its predictions change neither.

    Args:
        decay: The teacher's share in its next weights, in [0, 1), see `MovingAverage`.
        threshold: The teacher's probability, in [0, 1], from which on a sample counts.
    """

    def __init__(self, *, decay: ShareBelowOne = 0.99, threshold: Share = 0.968) -> None:
        super().__init__()
        self.decay = decay
        self.threshold = threshold

    def start(self, classifier: Classifier) -> None:
        self.teacher = MovingAverage(classifier, self.decay)

    def forward(self, logits: Tensor, strong_logits: Tensor, inputs: Tensor, classifier: Classifier) -> Tensor:
        """How much the student differs, a scalar.

        Args:
            logits: The student's for the first view, which do not matter here.
            strong_logits: The student's for the strong view, shape (N, K).
            inputs: The first view.
            classifier: The student.
        """
        self.teacher.update_parameters(classifier)
        for taught, teaching in zip(classifier.modules(), self.teacher.module.modules(), strict=True):
            teaching.training = taught.training
        with fixed_statistics(self.teacher):
            teacher_logits = self.teacher(inputs).logits
        return teacher_consistency(strong_logits, teacher_logits, threshold=self.threshold)
