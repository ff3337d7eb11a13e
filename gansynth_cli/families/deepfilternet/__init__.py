"""DeepFilterNet: a denoiser for speech by masks of ERB bands and filters along time."""
