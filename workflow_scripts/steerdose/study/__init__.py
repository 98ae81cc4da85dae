"""What is studied: the config, the methods, the texts."""
