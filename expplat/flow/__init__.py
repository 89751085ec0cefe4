"""Floor 4: one module a verb, each a straight walk over the ports in the order it states."""
