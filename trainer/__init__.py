"""Models and mathematics: one recipe per stage of training, one command to run them, files at both ends."""
