"""The two verbs on a model, generate and score, and what they share."""
