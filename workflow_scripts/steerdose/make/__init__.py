"""How a steering comes to be: pairs, adapters and their deltas, activations and their estimators, controls."""
