"""The setting `evaluate.bootstrap` is gone: intervals need no resamples. Where somebody set it, it would be refused."""

from django.db import migrations


def without(settings):
    """Settings by stage, less the one that is gone; None where it was not there."""
    evaluate = settings.get("evaluate") if isinstance(settings, dict) else None
    if not isinstance(evaluate, dict) or "bootstrap" not in evaluate:
        return None
    return settings | {"evaluate": {key: value for key, value in evaluate.items() if key != "bootstrap"}}


def drop(apps, schema_editor):
    for project in apps.get_model("feedback", "Project").objects.exclude(training_policy={}).iterator():
        if stages := without(project.training_policy.get("stages")):
            project.training_policy = project.training_policy | {"stages": stages}
            project.save(update_fields=["training_policy"])
    for name in ("Schedule", "Chain"):
        for row in apps.get_model("feedback", name).objects.exclude(config={}).iterator():
            if config := without(row.config):
                row.config = config
                row.save(update_fields=["config"])
    for run in apps.get_model("feedback", "TrainingRun").objects.filter(stage="evaluate", job__status="queued"):
        if "bootstrap" in run.config:
            run.config = {key: value for key, value in run.config.items() if key != "bootstrap"}
            run.save(update_fields=["config"])


class Migration(migrations.Migration):
    dependencies = [("feedback", "0022_error_codes_and_renames")]
    operations = [migrations.RunPython(drop, migrations.RunPython.noop)]
