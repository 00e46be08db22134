"""Layers that at least two systems use."""
