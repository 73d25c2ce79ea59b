"""Paths of the pages of collection: prompts, tasks, assignments, annotations, conversations, the desk."""

from django.urls import URLPattern, path

from feedback.web.collection import annotations, conversations, desk, label_schemes, prompts, queue_policy, tasks

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/desk/", desk.desk, name="desk"),
    path("p/<slug:slug>/desk/next/", desk.next_task, name="desk_next"),
    path("p/<slug:slug>/desk/undo/", desk.undo, name="desk_undo"),
    path("p/<slug:slug>/desk/guidelines/read/", desk.read_guidelines, name="desk_guidelines_read"),
    path("p/<slug:slug>/talk/", conversations.begin, name="talks"),
    path("p/<slug:slug>/talk/<uuid:conversation_id>/", conversations.talk, name="talk"),
    path("talk/<uuid:conversation_id>/say/", conversations.say, name="talk_say"),
    path("talk/<uuid:conversation_id>/retry/", conversations.retry, name="talk_retry"),
    path("talk/<uuid:conversation_id>/end/", conversations.end, name="talk_end"),
    path("talk/<uuid:assignment_id>/answer/", conversations.answer, name="talk_answer"),
    path("desk/renew/", desk.renew, name="desk_renew"),
    path("desk/<uuid:assignment_id>/submit/", desk.submit, name="desk_submit"),
    path("desk/<uuid:assignment_id>/revise/", desk.revise, name="desk_revise"),
    path("desk/<uuid:assignment_id>/skip/", desk.skip, name="desk_skip"),
    path("desk/<uuid:assignment_id>/flag/", desk.flag, name="desk_flag"),
    path("desk/<uuid:assignment_id>/draft/", desk.draft, name="desk_draft"),
    path("desk/<uuid:assignment_id>/again/", desk.reopen_sent_back, name="desk_again"),
    path("desk/<uuid:assignment_id>/release/", desk.release, name="desk_release"),
    path("p/<slug:slug>/project/labels/", label_schemes.labels, name="project_labels"),
    path("p/<slug:slug>/project/labels/new/", label_schemes.new, name="labels_new"),
    path("p/<slug:slug>/project/labels/<slug:name>/", label_schemes.scheme, name="labels"),
    path("p/<slug:slug>/project/labels/<slug:name>/remove/", label_schemes.remove, name="labels_remove"),
    path("p/<slug:slug>/project/queue/", queue_policy.queue_policy, name="project_queue"),
    path("p/<slug:slug>/project/members/<uuid:person_id>/", queue_policy.member, name="member"),
    path("p/<slug:slug>/project/members/<uuid:person_id>/training/", queue_policy.set_training, name="member_training"),
    path("p/<slug:slug>/data/prompts/", prompts.prompts, name="prompts"),
    path("p/<slug:slug>/data/prompts/new/", prompts.new, name="prompts_new"),
    path("p/<slug:slug>/data/prompts/<uuid:prompt_id>/", prompts.prompt, name="prompt"),
    path("p/<slug:slug>/data/prompts/<uuid:prompt_id>/more/", prompts.more_responses, name="prompt_more"),
    path("p/<slug:slug>/data/tasks/", tasks.tasks, name="tasks"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/", tasks.task, name="task"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/withdraw/", tasks.withdraw, name="task_withdraw"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/reopen/", tasks.reopen, name="task_reopen"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/change/", tasks.change, name="task_change"),
    path("p/<slug:slug>/quality/annotations/", annotations.annotations, name="annotations"),
    path("p/<slug:slug>/quality/annotations/<uuid:annotation_id>/", annotations.annotation, name="annotation"),
]
