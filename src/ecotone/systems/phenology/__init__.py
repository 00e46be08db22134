"""Bloom dates: chill, forcing and a learned response between them."""
