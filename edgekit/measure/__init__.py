"""Measuring: protocols, sessions, statistics, verdicts."""
