"""Paths of the admin's pages: projects, prompts, quality, snapshots, training, models, schedules, health."""

from django.urls import URLPattern, path

from feedback.web import guard, house, labels, models, projects, prompts, quality, schedules, snapshots, tasks, training

admin_pages: list[URLPattern] = [
    path("projects/", projects.projects, name="projects"),
    path("projects/new/", projects.new, name="project_new"),
    path("health/", house.house, name="health"),
    path("p/<slug:slug>/health/", house.of_project, name="health"),
    # The project itself
    path("p/<slug:slug>/project/", projects.settings, name="project"),
    path("p/<slug:slug>/project/state/", projects.set_state, name="project_state"),
    path("p/<slug:slug>/project/guidelines/", projects.guidelines, name="project_guidelines"),
    path("p/<slug:slug>/project/labels/", labels.labels, name="project_labels"),
    path("p/<slug:slug>/project/labels/new/", labels.new, name="labels_new"),
    path("p/<slug:slug>/project/labels/<slug:name>/", labels.scheme, name="labels"),
    path("p/<slug:slug>/project/labels/<slug:name>/remove/", labels.remove, name="labels_remove"),
    path("p/<slug:slug>/project/guard/", guard.guard, name="guard"),
    path("p/<slug:slug>/project/members/", projects.members, name="project_members"),
    path("p/<slug:slug>/project/members/add/", projects.add_member, name="member_add"),
    path("p/<slug:slug>/project/members/new/", projects.create_person, name="person_new"),
    path("p/<slug:slug>/project/members/<uuid:person_id>/role/", projects.set_role, name="member_role"),
    path("p/<slug:slug>/project/members/<uuid:person_id>/remove/", projects.remove_member, name="member_remove"),
    # Data: snapshots, prompts, tasks
    path("p/<slug:slug>/data/", snapshots.data, name="data"),
    path("p/<slug:slug>/data/freeze/", snapshots.freeze, name="snapshot_freeze"),
    path("p/<slug:slug>/data/compare/", snapshots.compare, name="snapshot_compare"),
    path("p/<slug:slug>/data/snapshots/<uuid:snapshot_id>/", snapshots.snapshot, name="snapshot"),
    path("p/<slug:slug>/data/prompts/", prompts.prompts, name="prompts"),
    path("p/<slug:slug>/data/prompts/new/", prompts.new, name="prompts_new"),
    path("p/<slug:slug>/data/prompts/<uuid:prompt_id>/", prompts.prompt, name="prompt"),
    path("p/<slug:slug>/data/prompts/<uuid:prompt_id>/more/", prompts.more_responses, name="prompt_more"),
    path("p/<slug:slug>/data/prompts/<uuid:prompt_id>/unblock/", guard.unblock_prompt, name="prompt_unblock"),
    path("p/<slug:slug>/data/responses/<uuid:response_id>/unblock/", guard.unblock_response, name="response_unblock"),
    path("p/<slug:slug>/data/tasks/", tasks.tasks, name="tasks"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/", tasks.task, name="task"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/withdraw/", tasks.withdraw, name="task_withdraw"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/reopen/", tasks.reopen, name="task_reopen"),
    # Quality and the answers behind it
    path("p/<slug:slug>/quality/", quality.quality, name="quality"),
    path("p/<slug:slug>/quality/annotations/", tasks.annotations, name="annotations"),
    path("p/<slug:slug>/quality/annotations/<uuid:annotation_id>/", tasks.annotation, name="annotation"),
    # Training
    path("p/<slug:slug>/train/", training.train, name="train"),
    path("p/<slug:slug>/train/compare/", training.compare, name="runs_compare"),
    path("p/<slug:slug>/train/compare/<slug:plot>.json", training.compare_points, name="runs_compare_points"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/", training.run, name="run"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/<slug:plot>.json", training.points, name="run_points"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/cancel/", training.cancel, name="run_cancel"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/retry/", training.retry, name="run_retry"),
    # Models
    path("p/<slug:slug>/models/", models.models, name="models"),
    path("p/<slug:slug>/models/roll-back/", models.roll_back, name="roll_back"),
    path("p/<slug:slug>/models/playground/", models.playground, name="playground"),
    path("p/<slug:slug>/models/playground/<uuid:prompt_id>/", models.playground_answers, name="playground_answers"),
    path("p/<slug:slug>/models/<uuid:model_id>/", models.model, name="model"),
    path("p/<slug:slug>/models/<uuid:model_id>/promote/", models.promote, name="promote"),
    path("p/<slug:slug>/models/<uuid:model_id>/decide/", models.decide, name="model_decide"),
    # Schedules
    path("p/<slug:slug>/schedules/", schedules.schedules, name="schedules"),
    path("p/<slug:slug>/schedules/<uuid:schedule_id>/switch/", schedules.switch, name="schedule_switch"),
    path("p/<slug:slug>/schedules/<uuid:schedule_id>/delete/", schedules.delete, name="schedule_delete"),
]
