from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("feedback", "0003_stages_and_kinds")]

    operations: list[migrations.operations.base.Operation] = []
