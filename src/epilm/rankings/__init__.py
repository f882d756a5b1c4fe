"""Ranks of models over many sets: the ENCODE-DREAM leaderboard."""
