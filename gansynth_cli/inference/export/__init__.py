"""Models as files for other runtimes: SavedModel, ONNX, LiteRT, and a page for browsers."""
