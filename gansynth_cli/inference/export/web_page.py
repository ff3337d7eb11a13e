"""The page that runs an exported denoiser in a browser, with onnxruntime-web."""

from __future__ import annotations

import html
import shutil
from pathlib import Path

_FILES = Path(__file__).parent / "web"
_README = """\
A page that denoises recordings and the microphone in a browser; nothing is uploaded.

It needs the files of onnxruntime-web (MIT licence) at {runtime}, which are not part of it. In this folder:

    npm pack onnxruntime-web
    tar xzf onnxruntime-web-*.tgz
    mkdir -p ort && cp package/dist/ort.wasm.min.js package/dist/ort-wasm-simd-threaded.mjs package/dist/ort-wasm-simd-threaded.wasm ort/

Browsers load workers and WebAssembly from servers only:

    python -m http.server -d .

and open http://localhost:8000. Elsewhere than on localhost the microphone needs https.
"""


def write_page(folder: Path, runtime: str) -> None:
    """Write the page beside `model.json` and the ONNX file.

    Args:
        folder: Of the export.
        runtime: Folder or URL of onnxruntime-web's files, as the page sees it.
    """
    place = runtime if runtime.endswith("/") else runtime + "/"
    page = (_FILES / "index.html").read_text(encoding="utf-8")
    (folder / "index.html").write_text(page.replace("{{runtime}}", html.escape(place, quote=True)), encoding="utf-8")
    for name in ("worker.js", "microphone.js"):
        shutil.copyfile(_FILES / name, folder / name)
    (folder / "README.txt").write_text(_README.format(runtime=place), encoding="utf-8")
