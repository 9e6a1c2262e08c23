"""The REST face over the records. It never calls a model itself."""
