from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("feedback", "0004_queue_policy")]

    operations: list[migrations.operations.base.Operation] = []
