from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feedback", "0006_corpora")]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="error_kind",
            field=models.CharField(
                blank=True,
                choices=[
                    ("data", "Data"),
                    ("config", "Config"),
                    ("out_of_memory", "Out Of Memory"),
                    ("disk_full", "Disk Full"),
                    ("diverged", "Diverged"),
                    ("lost_worker", "Lost Worker"),
                    ("internal", "Internal"),
                ],
                max_length=16,
            ),
        ),
    ]
