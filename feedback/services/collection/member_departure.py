"""What somebody leaves behind who is taken out of a project, and whether they are still in it."""

from feedback.models import Assignment, Conversation, Membership, Person, Project
from feedback.services.collection import assignments, conversations


def give_back(project: Project, person: Person) -> None:
    """Everything they hold goes back into the queue, and their conversations end. Call inside a transaction."""
    for conversation in Conversation.objects.filter(project=project, person=person, ended_at=None):
        conversations.end(conversation=conversation)
    held = Assignment.objects.filter(project=project, annotator=person, state=Assignment.State.HELD)
    for assignment in held.select_related("project").order_by("task_id"):
        assignments.release(assignment=assignment)


def has_left(assignment: Assignment) -> bool:
    """Whether its annotator is no member of its project any more. Site admins need no membership."""
    person = assignment.annotator
    return (
        not person.is_site_admin
        and not Membership.objects.filter(project=assignment.project_id, person=person).exists()
    )
