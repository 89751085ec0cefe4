"""Request logs: files, object stores and queries, checked row by row and frozen."""
