"""Computes evidence from a model that is called as a function; nothing here knows which system it explains."""
