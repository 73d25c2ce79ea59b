"""What every table shares."""

import uuid

from django.db import models


class Row(models.Model):
    """A row with a public id, for pages and the API, and its time of creation. Integer keys stay inside."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.public_id}"
