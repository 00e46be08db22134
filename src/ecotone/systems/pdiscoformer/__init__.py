"""PDiscoFormer: object parts discovered from class labels alone, and a classifier whose evidence adds up over them."""
