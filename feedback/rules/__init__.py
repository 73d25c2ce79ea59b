"""Pure rules: arithmetic and checks without Django."""
