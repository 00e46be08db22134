"""DeepMaxent: species maps of many species from presence-only records (arXiv 2412.19217)."""
