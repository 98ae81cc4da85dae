"""What is done to a model: edits, steerings, interventions."""
