"""The harness: configuration, training, measuring and the results store."""
