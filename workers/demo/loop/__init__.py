"""The closed loop in the demo world: traffic that comes while a service runs, and the proof that rounds help."""
