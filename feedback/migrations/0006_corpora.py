from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("feedback", "0005_conversation")]

    operations: list[migrations.operations.base.Operation] = []
