"""Taking a trained weight delta apart: ways to cut it into parts, each with what is left of it."""
