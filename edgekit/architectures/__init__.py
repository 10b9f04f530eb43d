"""Networks: one file per paper, their blocks, the registry of their names, and what they cost. Builds nothing by itself."""
