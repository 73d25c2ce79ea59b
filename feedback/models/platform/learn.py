"""Progress of people in the course: the depth they read in, their flash cards and their quizzes."""

from django.db import models

from feedback.models.base import Row


class Learner(models.Model):
    """Settings of a person on the pages of the course."""

    person = models.OneToOneField("feedback.Person", on_delete=models.CASCADE, related_name="learner")
    depth = models.CharField(max_length=16, default="basic", help_text="In which depth the pages are shown.")


class CardProgress(models.Model):
    """What a person said last of a flash card: known, or to be shown again."""

    person = models.ForeignKey("feedback.Person", on_delete=models.CASCADE, related_name="cards", db_index=False)
    term = models.CharField(max_length=40, help_text="Key in the glossary.")
    known = models.BooleanField()
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "term"], name="one_card_per_person_and_term")]


class QuizResult(Row):
    """A quiz that a person has finished. The newest one of a stage counts."""

    person = models.ForeignKey("feedback.Person", on_delete=models.CASCADE, related_name="quizzes", db_index=False)
    stage = models.CharField(max_length=40, help_text="Key of a stage of the course.")
    right = models.PositiveSmallIntegerField(help_text="Number of right answers.")
    questions = models.PositiveSmallIntegerField()

    class Meta:
        indexes = [models.Index(fields=["person", "stage", "-id"], name="quiz_newest_first")]
