"""Every table that is written, declared: what a row is, and type, unit and meaning of each column."""
