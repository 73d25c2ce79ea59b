"""Who may read who wrote a response, and so may not judge it blindly.

Annotators judge without knowing who wrote what. Reviewers and admins may read authors; they may annotate all the same,
and their annotations are marked as not blind. An annotator may read the authors of the responses to prompts of their
own, except in a conversation, whose turns are answered by letter. This is the one place that says so: doors ask
`may_read_authors`, and the queue keeps from an annotator whatever that is true of.
"""


def may_read_authors(*, reviews: bool, own: bool, in_conversation: bool) -> bool:
    """Whether somebody may read who wrote the responses to a prompt.

    Args:
        reviews: they review or administer the project.
        own: they submitted the prompt.
        in_conversation: the prompt is a turn of a conversation.
    """
    return reviews or (own and not in_conversation)
