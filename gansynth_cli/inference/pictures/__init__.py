"""Text and axes of the PNG pictures that verbs draw."""
