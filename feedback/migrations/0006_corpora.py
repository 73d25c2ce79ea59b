import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feedback", "0005_conversation")]

    operations = [
        migrations.AddField(
            model_name="corpus",
            name="hold_out",
            field=models.CharField(
                choices=[("share", "Share"), ("last_tenth", "Last Tenth")], default="share", max_length=16
            ),
        ),
        migrations.AddField(
            model_name="corpus",
            name="report",
            field=models.JSONField(
                blank=True, default=dict, help_text="Its diversity, as the last report job found it."
            ),
        ),
        migrations.AddField(
            model_name="corpus",
            name="reported_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="document",
            name="characters",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="document",
            name="name",
            field=models.CharField(blank=True, help_text="File and line, or the title it was given.", max_length=200),
        ),
        migrations.AddField(
            model_name="document",
            name="removed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="document",
            name="removed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="document",
            name="removed_reason",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="document",
            name="signature",
            field=models.BinaryField(blank=True, help_text="MinHash of its five-word sequences.", null=True),
        ),
        migrations.AddField(
            model_name="document",
            name="upload",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="feedback.job",
            ),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(fields=["corpus", "-id"], name="document_newest_first"),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(
                condition=models.Q(("removed_at__isnull", False)),
                fields=["corpus", "-id"],
                name="document_removed",
            ),
        ),
        migrations.CreateModel(
            name="KeptTokenizer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sha256", models.CharField(max_length=64, unique=True)),
                ("text", models.TextField()),
            ],
        ),
    ]
