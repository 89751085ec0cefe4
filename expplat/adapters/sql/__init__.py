"""The truth: SQLite by default, PostgreSQL for teams, behind the same statements."""
