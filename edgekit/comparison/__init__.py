"""Two sides of a comparison: what became faster, slower, better or broken, and what cannot be compared."""
