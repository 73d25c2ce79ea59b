import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feedback", "0007_preflight")]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=[
                    ("training", "Training"),
                    ("generation", "Generation"),
                    ("freeze", "Freeze"),
                    ("corpus", "Corpus"),
                    ("import", "Import"),
                    ("export", "Export"),
                    ("preflight", "Preflight"),
                    ("score", "Score"),
                    ("adopt", "Adopt"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="screening",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="Guard, marker, and what becomes of personal data: rules.screening.",
            ),
        ),
        migrations.AddField(
            model_name="response",
            name="screening",
            field=models.JSONField(blank=True, default=dict, help_text="What the guard said, if one looked at it."),
        ),
        migrations.AddField(
            model_name="task",
            name="suggestion",
            field=models.JSONField(
                blank=True,
                help_text="Spans that a marker made beforehand, with its version; the desk begins with them.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="guard",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="feedback.modelversion",
            ),
        ),
        migrations.AlterField(
            model_name="response",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("running", "Running"),
                    ("screening", "Screening"),
                    ("ready", "Ready"),
                    ("failed", "Failed"),
                    ("blocked", "Blocked"),
                ],
                default="ready",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="state",
            field=models.CharField(
                choices=[
                    ("waiting", "Waiting"),
                    ("open", "Open"),
                    ("settled", "Settled"),
                    ("withdrawn", "Withdrawn"),
                    ("aside", "Aside"),
                ],
                default="open",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="prompt",
            index=models.Index(
                condition=models.Q(("state", "received")), fields=["project", "id"], name="prompt_waits_for_guard"
            ),
        ),
        migrations.AddIndex(
            model_name="response",
            index=models.Index(
                condition=models.Q(("state", "screening")), fields=["project", "id"], name="response_waits_for_guard"
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(
                    ("gold__isnull", True),
                    ("kind", "spans"),
                    ("state__in", ["open", "waiting"]),
                    ("suggestion__isnull", True),
                ),
                fields=["project", "id"],
                name="task_to_mark",
            ),
        ),
    ]
