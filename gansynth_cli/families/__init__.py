"""The families of models: one file each, all answering `Family`."""
