from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("feedback", "0023_drop_bootstrap_of_evaluation")]

    operations = [migrations.RenameField("person", "is_house_admin", "is_site_admin")]
