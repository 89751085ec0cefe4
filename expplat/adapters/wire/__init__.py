"""Events as other products send them, brought into the form of `/v1/exposures` and `/v1/outcomes`.

Each module is pure: what it cannot make an event of, it hands on for the ingestion to refuse.
"""
