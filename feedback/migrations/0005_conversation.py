"""Conversations end, each of their turns is one prompt; responses know how long their prompt was."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feedback", "0004_queue_policy")]

    operations = [
        migrations.AddField(
            model_name="conversation",
            name="ended_at",
            field=models.DateTimeField(blank=True, help_text="Empty: it goes on.", null=True),
        ),
        migrations.AddField(
            model_name="response",
            name="prompt_tokens",
            field=models.PositiveIntegerField(blank=True, help_text="Of the prompt, in its template.", null=True),
        ),
        migrations.AddField(
            model_name="project",
            name="completions_make_tasks",
            field=models.BooleanField(
                default=False,
                help_text="What clients ask over /v1/chat/completions is answered twice and becomes tasks.",
            ),
        ),
        migrations.AlterField(
            model_name="prompt",
            name="conversation",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=models.deletion.CASCADE,
                related_name="turns",
                to="feedback.conversation",
            ),
        ),
        migrations.AlterField(
            model_name="prompt",
            name="turn",
            field=models.PositiveSmallIntegerField(default=0, help_text="1, 2, … in a conversation."),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(fields=["project", "person", "-id"], name="conversation_newest_first"),
        ),
        migrations.AddIndex(
            model_name="response",
            index=models.Index(
                condition=models.Q(("state__in", ["queued", "running"])),
                fields=["project"],
                name="response_awaited",
            ),
        ),
        migrations.AddConstraint(
            model_name="prompt",
            constraint=models.UniqueConstraint(
                condition=models.Q(("conversation__isnull", False)),
                fields=("conversation", "turn"),
                name="one_prompt_per_turn",
            ),
        ),
    ]
