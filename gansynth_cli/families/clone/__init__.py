"""Conversion to any voice from seconds of it: phone posteriors and pitch to mel spectra, conditioned on a speaker vector."""
