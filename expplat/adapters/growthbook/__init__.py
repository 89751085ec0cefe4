"""GrowthBook: what its SDKs read, evaluated here too, and its server, asked and told."""
