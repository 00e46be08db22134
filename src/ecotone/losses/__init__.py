"""Losses: pure functions, tensors in, scalar out; one idea per file."""
