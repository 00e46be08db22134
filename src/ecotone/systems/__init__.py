"""One folder per published method; files are named after the boxes of the paper's figure."""
