"""How much at once, how often, and for how long: what keeps one sender from costing the others."""
