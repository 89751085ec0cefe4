"""Floor 2: statistics as pure functions; numbers in, frozen values out, never a NaN."""
