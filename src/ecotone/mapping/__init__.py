"""Model and rasters to map: read by windows, predict pixel by pixel, write a cloud-optimised GeoTIFF."""
