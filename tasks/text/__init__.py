"""Classification of documents."""
