"""Tables, sentences and files that present a comparison."""
