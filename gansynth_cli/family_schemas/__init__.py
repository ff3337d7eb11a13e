"""The `[model]` and `[losses]` tables of the families, one file a group of families. No TensorFlow here."""
