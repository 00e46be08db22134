"""Draws evidence, and turns a run folder into one self-contained HTML page."""
