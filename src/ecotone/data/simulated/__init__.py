"""Simulated worlds with known truth: the demo's default, and the ground of recovery tests."""
