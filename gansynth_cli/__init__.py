"""gan-audio: train and use audio GANs from the command line."""

__version__ = "0.1.0"
