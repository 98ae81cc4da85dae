"""Which parts of a trained delta are necessary and which are enough: screened by reading fixed texts."""
