"""Paths of the API of collection: prompts, tasks, assignments, annotations, conversations, the desk."""

from django.urls import URLPattern, path

from feedback.api.collection import (
    annotations,
    assignments,
    chat_completions,
    conversations,
    prompts,
    response_streams,
    tasks,
    thumbs,
)

urlpatterns: list[URLPattern] = [
    path("prompts/", prompts.Prompts.as_view()),
    path("prompts/<uuid:id>/", prompts.OnePrompt.as_view()),
    path("prompts/<uuid:id>/stream/", response_streams.PromptStream.as_view()),
    path("prompts/<uuid:id>/generate/", prompts.PromptGenerate.as_view()),
    path("responses/", prompts.Responses.as_view()),
    path("responses/<uuid:id>/", prompts.OneResponse.as_view()),
    path("responses/<uuid:id>/stream/", response_streams.ResponseStream.as_view()),
    path("tasks/", tasks.Tasks.as_view()),
    path("tasks/next/", tasks.NextTask.as_view()),
    path("tasks/<uuid:id>/", tasks.OneTask.as_view()),
    path("tasks/<uuid:id>/withdraw/", tasks.WithdrawTask.as_view()),
    path("tasks/<uuid:id>/reopen/", tasks.ReopenTask.as_view()),
    path("tasks/<uuid:id>/gold/", tasks.GoldTask.as_view()),
    path("tasks/<uuid:id>/decide/", tasks.DecideTask.as_view()),
    path("assignments/<uuid:id>/", assignments.OneAssignment.as_view()),
    path("assignments/<uuid:id>/draft/", assignments.Draft.as_view()),
    path("assignments/<uuid:id>/submit/", assignments.Submit.as_view()),
    path("assignments/<uuid:id>/skip/", assignments.Skip.as_view()),
    path("assignments/<uuid:id>/renew/", assignments.Renew.as_view()),
    path("assignments/<uuid:id>/release/", assignments.Release.as_view()),
    path("assignments/<uuid:id>/shown/", assignments.Shown.as_view()),
    path("annotations/", annotations.Annotations.as_view()),
    path("annotations/<uuid:id>/", annotations.OneAnnotation.as_view()),
    path("annotations/<uuid:id>/revise/", annotations.ReviseAnnotation.as_view()),
    path("annotations/<uuid:id>/withdraw/", annotations.WithdrawAnnotation.as_view()),
    path("annotations/<uuid:id>/flag/", annotations.FlagAnnotation.as_view()),
    path("annotations/<uuid:id>/review/", annotations.ReviewAnnotation.as_view()),
    path("conversations/", conversations.Conversations.as_view()),
    path("conversations/<uuid:id>/", conversations.OneConversation.as_view()),
    path("conversations/<uuid:id>/end/", conversations.EndConversation.as_view()),
    path("conversations/<uuid:id>/turns/", conversations.Turns.as_view()),
    path("conversations/<uuid:id>/turns/<int:turn>/", conversations.OneTurn.as_view()),
    path("conversations/<uuid:id>/turns/<int:turn>/stream/", conversations.TurnStream.as_view()),
    path("conversations/<uuid:id>/turns/<int:turn>/retry/", conversations.TurnRetry.as_view()),
    path("feedback/", thumbs.Feedback.as_view()),
]

openai_v1: list[URLPattern] = [
    path("chat/completions", chat_completions.ChatCompletions.as_view()),
    path("models", chat_completions.Models.as_view()),
    path("models/<path:name>", chat_completions.OneModel.as_view()),
    path("<path:anything>", chat_completions.UnknownPath.as_view()),
]
