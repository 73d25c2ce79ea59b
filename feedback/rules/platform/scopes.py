"""Scopes of API tokens. Effective rights = rights of the person's role ∩ scopes."""

SCOPES = {
    "read": "Read projects, prompts, responses, tasks, quality and jobs.",
    "annotate": "Get tasks, save drafts, submit, revise and withdraw your own annotations.",
    "submit": "Submit prompts, responses, tasks and thumbs.",
    "data": "Read and submit preferences; import, export, freeze and download snapshots; corpora.",
    "train": "Start, cancel and retry training; promote, roll back; campaigns, schedules.",
    "admin": "Projects, members, guidelines, tokens and events.",
}
