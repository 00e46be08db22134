"""What `ecotone bench NAME` runs."""
