"""The model: where it comes from, how it is loaded and built, how it is addressed."""
