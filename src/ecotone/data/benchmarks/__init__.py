"""Readers of public data sets, and the catalogue of where to get them."""
