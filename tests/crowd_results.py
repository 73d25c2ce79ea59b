"""Piped into `manage.py shell`: what the database says of the crowd's work, as JSON."""

import json

from feedback.models import Annotation, Assignment, Task

print(
    json.dumps(
        {
            "annotations": [str(one) for one in Annotation.objects.values_list("public_id", flat=True)],
            "assignments": list(Assignment.objects.values_list("task_id", "annotator_id", "state", "slot", "counted")),
            "tasks": list(Task.objects.values_list("pk", "state", "free_slots", "annotations_wanted")),
        }
    )
)
