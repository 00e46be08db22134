"""Scores of rankings, splits over space and bootstrap intervals; numpy and scipy only."""
