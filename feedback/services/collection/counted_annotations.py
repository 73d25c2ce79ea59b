"""Which answers stand: those that count and train. Call while holding the locks of `slots.lock`."""

from django.utils import timezone

from feedback.errors import NotHeld
from feedback.models import Annotation, Assignment, PreferencePair, Task
from feedback.services.collection.task_slots import free_slot


def take_out(task: Task, held: Assignment, to: str, skip_reason: str = "") -> None:
    """The current answer no longer counts or trains; its slot is free again."""
    if held.current is None:
        raise NotHeld
    close_pairs(held.current)
    had_slot = held.slot is not None
    held.state, held.slot, held.counted, held.current, held.skip_reason = to, None, False, None, skip_reason
    held.save(update_fields=["state", "slot", "counted", "current", "skip_reason"])
    if had_slot:
        free_slot(task)


def close_pairs(annotation: Annotation) -> None:
    """What it stated to training is over."""
    PreferencePair.objects.filter(annotation=annotation, closed_at=None).update(closed_at=timezone.now())
