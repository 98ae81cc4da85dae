"""Every table that is written, declared."""
