"""Small questions to a loaded model, for a page where somebody waits: milliseconds each, and nothing is stored."""
