"""MLflow: a finished replay as runs, traces, models and a view. A copy; no decision reads it."""
