import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("feedback", "0003_stages_and_kinds"),
    ]

    operations = [
        migrations.CreateModel(
            name="Concern",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("flagged", "Flagged"),
                            ("skipped", "Skipped"),
                            ("disagreement", "Disagreement"),
                            ("unreliable", "Unreliable"),
                            ("sample", "Sample"),
                        ],
                        max_length=16,
                    ),
                ),
                ("rank", models.PositiveSmallIntegerField()),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Verdict",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("payload", models.JSONField()),
                ("shown", models.JSONField(default=list)),
                ("note", models.TextField(blank=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="queuecursor",
            name="one_cursor_per_annotator",
        ),
        migrations.RemoveIndex(
            model_name="task",
            name="task_queue",
        ),
        migrations.AddField(
            model_name="assignment",
            name="arm",
            field=models.CharField(default="queue", help_text="Why this person was given it.", max_length=20),
        ),
        migrations.AddField(
            model_name="assignment",
            name="propensity",
            field=models.FloatField(default=1.0, help_text="With which probability that arm was drawn."),
        ),
        migrations.AddField(
            model_name="assignment",
            name="sent_back",
            field=models.CharField(blank=True, help_text="What a reviewer asked for, sending it back.", max_length=500),
        ),
        migrations.AddField(
            model_name="membership",
            name="daily_limit",
            field=models.PositiveIntegerField(blank=True, help_text="Answers a day; empty: the project's.", null=True),
        ),
        migrations.AddField(
            model_name="membership",
            name="qualified",
            field=models.JSONField(
                blank=True, default=dict, help_text='What they may do: {"kinds": […], "schemes": […]}; empty: all.'
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="trained_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="membership",
            name="training",
            field=models.CharField(
                choices=[("needed", "Needed"), ("passed", "Passed"), ("failed", "Failed"), ("waived", "Waived")],
                default="needed",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="queue_policy",
            field=models.JSONField(blank=True, default=dict, help_text="Who is given what: rules.queue_policy."),
        ),
        migrations.AddField(
            model_name="queuecursor",
            name="check_last",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="queuecursor",
            name="given",
            field=models.PositiveIntegerField(
                default=0, help_text="Tasks given so far: who finds it changed looks again."
            ),
        ),
        migrations.AddField(
            model_name="queuecursor",
            name="kind",
            field=models.CharField(blank=True, default="", max_length=16),
        ),
        migrations.AddField(
            model_name="task",
            name="explanation",
            field=models.TextField(blank=True, help_text="Why it is right; told in the training round."),
        ),
        migrations.AlterField(
            model_name="task",
            name="state",
            field=models.CharField(
                choices=[("open", "Open"), ("settled", "Settled"), ("withdrawn", "Withdrawn"), ("aside", "Aside")],
                default="open",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="annotation",
            index=models.Index(
                condition=models.Q(("revision", 1)),
                fields=["annotator", "project", "created_at"],
                name="annotation_by_day",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(
                    ("free_slots__gt", 0), ("gold__isnull", True), ("state", "open"), ("training_round", False)
                ),
                fields=["project", "queue_key"],
                name="task_queue",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(
                    ("free_slots__gt", 0), ("gold__isnull", True), ("state", "open"), ("training_round", False)
                ),
                fields=["project", "kind", "queue_key"],
                name="task_queue_of_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("gold__isnull", False), ("state", "open"), ("training_round", False)),
                fields=["project", "queue_key"],
                name="task_checks",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("state", "open"), ("training_round", True)),
                fields=["project", "queue_key"],
                name="task_training_round",
            ),
        ),
        migrations.AddConstraint(
            model_name="queuecursor",
            constraint=models.UniqueConstraint(
                fields=("project", "annotator", "kind"), name="one_cursor_per_annotator_and_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="review",
            constraint=models.UniqueConstraint(fields=("annotation",), name="one_decision_per_annotation"),
        ),
        migrations.AddField(
            model_name="concern",
            name="assignment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="concerns",
                to="feedback.assignment",
            ),
        ),
        migrations.AddField(
            model_name="concern",
            name="closed_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="concern",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="concerns", to="feedback.project"
            ),
        ),
        migrations.AddField(
            model_name="concern",
            name="task",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="concerns", to="feedback.task"
            ),
        ),
        migrations.AddField(
            model_name="verdict",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="feedback.project"
            ),
        ),
        migrations.AddField(
            model_name="verdict",
            name="reviewer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="verdict",
            name="task",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="verdicts", to="feedback.task"
            ),
        ),
        migrations.AddIndex(
            model_name="concern",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True)), fields=["project", "rank", "id"], name="concern_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="concern",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at__isnull", True)),
                fields=("assignment", "reason"),
                name="one_open_concern_per_answer_and_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="concern",
            constraint=models.UniqueConstraint(
                condition=models.Q(("assignment__isnull", True), ("closed_at__isnull", True)),
                fields=("task", "reason"),
                name="one_open_concern_per_task_and_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="verdict",
            constraint=models.UniqueConstraint(fields=("task",), name="one_verdict_per_task"),
        ),
    ]
