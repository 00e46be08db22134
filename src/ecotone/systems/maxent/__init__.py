"""Maxent (Phillips et al. 2006): one convex problem per species, all solved together and certified."""
