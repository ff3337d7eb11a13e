"""Bandwidth extension: the part of the spectrum that a recording lacks, generated from the part that it has."""
