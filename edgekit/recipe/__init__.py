"""Recipes: their schema, loading them, and the list of recipe files."""
