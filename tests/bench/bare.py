"""Paths of the service, and a view that does what no useful one can do less than: who calls, one row by its key."""

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.generics import RetrieveAPIView

from feedback.models import Task
from feedback.urls import handler404, handler500
from feedback.urls import urlpatterns as service

__all__ = ["handler404", "handler500", "urlpatterns"]


class TaskSerializer(serializers.ModelSerializer[Any]):
    class Meta:
        model = Task
        fields = ["public_id", "kind", "state", "free_slots", "created_at"]


class Bare(RetrieveAPIView[Any]):
    """The same authentication, scopes and throttles as every door, and nothing else."""

    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    lookup_field = "public_id"
    scopes = {"GET": "annotate"}


urlpatterns = [path("bare/<uuid:public_id>/", Bare.as_view()), *service]
