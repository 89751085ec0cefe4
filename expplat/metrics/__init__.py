"""Floor 2: what the built-in metrics are, and how each is computed."""
