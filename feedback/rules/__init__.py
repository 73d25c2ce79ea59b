"""Pure Python: the arithmetic of preference. Nothing here knows Django."""
