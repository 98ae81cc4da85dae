"""How a steering comes in from other tools, and goes out to them."""
