"""What a user sees of a run: the plan before it, and how far it is."""
