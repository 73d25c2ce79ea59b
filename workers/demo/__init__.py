"""The demo world: a small support desk whose true preferences are known, so that the whole loop can be measured.

Standard library only. ``feedback`` and ``trainer`` never import this package: what is trained, and the gate that judges
it, see annotations and never the gold utility.
"""
