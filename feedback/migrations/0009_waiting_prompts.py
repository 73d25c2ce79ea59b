from django.db import migrations, models


class Migration(migrations.Migration):
    """Home counts prompts that wait; without an index it read all of a million."""

    dependencies = [("feedback", "0008_guard")]

    operations = [
        migrations.AddIndex(
            model_name="prompt",
            index=models.Index(
                condition=models.Q(("state__in", ["received", "screened"])), fields=["project"], name="prompt_waiting"
            ),
        ),
    ]
