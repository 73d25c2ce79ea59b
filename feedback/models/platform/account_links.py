"""One-time links by which people set the password of their account."""

from django.db import models

from feedback.models.base import Row


class AccountLink(Row):
    """An invitation or a password reset. Only the SHA-256 of its secret is stored. It works once."""

    class Purpose(models.TextChoices):
        INVITATION = "invitation"  # to an account without a password
        RESET = "reset"  # of a password

    person = models.ForeignKey("feedback.Person", on_delete=models.CASCADE, related_name="links")
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    digest = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(
        "feedback.Person", on_delete=models.SET_NULL, null=True, blank=True, related_name="links_created"
    )
    emailed_to = models.EmailField(blank=True, help_text="Whoever opens the link can read the mail of this address.")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
