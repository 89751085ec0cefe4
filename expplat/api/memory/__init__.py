"""What is held between requests: flags and keys, in every form that they are served in."""
