"""The demo: three POCs, real text, real replays, and simulated users who are called simulated."""
