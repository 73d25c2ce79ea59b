"""Annotations that the desk sent carry a time that it measured; what programs sent may not."""

from django.db import migrations


def mark(apps, schema_editor):
    annotations = apps.get_model("feedback", "Annotation").objects
    annotations.filter(client="web", revision=1, seconds__gt=0).update(timed=True)


class Migration(migrations.Migration):
    dependencies = [("feedback", "0013_exclusions_and_annotation_marks")]
    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
