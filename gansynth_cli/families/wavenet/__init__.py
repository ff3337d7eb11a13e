"""WaveNet: samples one by one, each from the distribution that the ones before and a condition give it."""
