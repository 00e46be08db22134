"""What systems that answer for images share: reading, splits, the encoder they learn on, evidence, scores, storing."""
