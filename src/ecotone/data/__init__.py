"""Observations in: rasters, occurrences, seasons, images, sensors, text, simulated worlds."""
