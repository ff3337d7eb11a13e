"""The page of `gan-audio export --format web` in a browser, against the denoiser in numpy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.inference.enhance.enhancers import open_enhancer

from .browser import browser_page, served
from .conftest import write_wav
from .enhance_fakes import write_denoiser
from .helpers import run

RUNTIME_FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


@pytest.mark.slow
def test_the_page_denoises_a_file_and_the_microphone(tmp_path: Path, capsys: pytest.CaptureFixture):
    pytest.importorskip("tf2onnx", reason="the extra export is not installed")
    runtime = Path(os.environ.get("GAN_AUDIO_ORT_WEB", "/nonexistent"))
    if not all((runtime / name).is_file() for name in RUNTIME_FILES):
        pytest.skip("GAN_AUDIO_ORT_WEB names no folder with onnxruntime-web's files (npm pack onnxruntime-web, package/dist)")
    model = write_denoiser(tmp_path / "small.keras")
    folder = tmp_path / "page"
    assert run(capsys, "export", model, "-o", folder, "--format", "web", "-q")[0] == 0
    for name in RUNTIME_FILES:
        (folder / "ort").mkdir(exist_ok=True)
        shutil.copyfile(runtime / name, folder / "ort" / name)
    rng = np.random.default_rng(0)
    audio = 0.2 * rng.standard_normal((8000, 2)).astype(np.float32)
    enhancer = open_enhancer(model)
    write_wav(tmp_path / "noisy.wav", audio, enhancer.sample_rate)
    given, _ = soundfile.read(tmp_path / "noisy.wav", dtype="float32")
    wanted = enhancer.apply(given.T, passes=1, strength_db=np.inf).T
    with served(folder) as address, browser_page("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream") as page:
        page.goto(address)
        page.wait_for_selector("#file:not([disabled])", timeout=60000)
        page.set_input_files("#file", tmp_path / "noisy.wav")
        page.wait_for_selector("#result:not([hidden])", timeout=60000)
        with page.expect_download() as download:
            page.click("#save")
        assert download.value.suggested_filename == "noisy-clean.wav"
        made, rate = soundfile.read(download.value.path(), dtype="float32")
        assert (made.shape, rate) == (audio.shape, enhancer.sample_rate)
        assert np.abs(made - wanted).max() < 2e-4  # the page writes 16 bits
        assert np.abs(made - audio).max() > 0.01
        page.click("#microphone")
        page.wait_for_function("/% of the time/.test(document.getElementById('live').textContent)", timeout=30000)
        page.click("#microphone")
        page.wait_for_function("document.getElementById('microphone').textContent === 'Start'")
        if "GAN_AUDIO_SCREENSHOTS" in os.environ:
            page.screenshot(path=f"{os.environ['GAN_AUDIO_SCREENSHOTS']}/denoise.png", full_page=True)
        assert page.text_content("#message") == ""
        assert not page.failures
        shutil.rmtree(folder / "ort")
        page.goto(address)
        page.wait_for_function("/onnxruntime-web is not at/.test(document.getElementById('message').textContent)")
