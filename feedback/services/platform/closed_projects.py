"""A closed project accepts nothing. Every service that writes to a project checks here."""

from feedback.errors import ProjectClosed
from feedback.models import Project


def refuse_when_closed(project: Project, what: str, *, read_again: bool = False) -> None:
    """
    Args:
        what: in the plural, such as "prompts".
        read_again: look at the row now, for work that began while the project may have been open.

    Raises:
        ProjectClosed: with the way out.
    """
    state = Project.objects.values_list("state", flat=True).get(pk=project.pk) if read_again else project.state
    if state == Project.State.CLOSED:
        raise ProjectClosed(f"The project is closed and takes no {what}. A project admin can open it.")
