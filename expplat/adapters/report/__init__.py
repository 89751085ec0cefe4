"""What people and build servers look at: pages, plots, Markdown, JUnit."""
