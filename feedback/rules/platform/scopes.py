"""Scopes of API tokens. Effective rights = rights of the person's role ∩ scopes."""

SCOPES = {
    "read": "Read projects, prompts, responses, tasks, quality and jobs.",
    "annotate": "Get tasks, save drafts, submit, revise and withdraw your own annotations.",
    "submit": "Submit prompts, responses and tasks, and give thumbs.",
    "data": "Read and give preferences; import, export, freeze and download snapshots; corpora.",
    "train": "Start, cancel and retry training; promote, roll back; schedules.",
    "admin": "Projects, members, guidelines, tokens and events.",
}
