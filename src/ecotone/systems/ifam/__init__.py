"""iFAM: one network selects regions by parts, a second sees nothing but these."""
