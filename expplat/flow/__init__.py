"""Floor 4: one module a verb. Each is a straight walk over the ports, in the order that its docstring states."""
