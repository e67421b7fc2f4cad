"""Protocols of others, spoken unchanged."""
