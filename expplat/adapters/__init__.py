"""Floor 5: one product a module. Nothing above knows which."""
