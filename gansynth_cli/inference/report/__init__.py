"""A page of one file to listen to runs, folders of clips and before/after pairs, with their figures and curves."""
