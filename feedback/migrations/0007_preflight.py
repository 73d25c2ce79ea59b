from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("feedback", "0006_corpora")]

    operations: list[migrations.operations.base.Operation] = []
