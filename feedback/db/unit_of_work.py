"""What a transaction around several services may have to do again."""


class Contended(Exception):
    """Somebody else is at the same rows this moment, and cannot be waited for: look again."""
