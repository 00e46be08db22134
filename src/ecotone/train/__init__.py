"""One training loop for all systems: step-exact, resumable, on one or many devices."""
