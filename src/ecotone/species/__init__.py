"""What all species distribution models share: records and rasters in, scales, evidence, scores and storage out."""
