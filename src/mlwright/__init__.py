"""mlwright."""
