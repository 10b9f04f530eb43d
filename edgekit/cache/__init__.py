"""The cache: a folder per key, made once, complete or absent; listing and cleaning."""
