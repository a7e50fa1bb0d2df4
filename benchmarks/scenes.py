"""How long 100 scenes of 1520x870 take on one core, by process time: drawing, and drawing with JPEG writing.

python -m benchmarks.scenes [--scenes 100] [--noise v2]
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.recording import record, take_json
from core.images import write_image
from data.scenes import scene_settings
from data.scenes.draw import draw_scene
from data.scenes.settings import SceneNoise, ScenesConfig

LIMIT_S = 20.0  # the project's own limit for 100 scenes


def main() -> None:
    """Draw and write the scenes, and print seconds per 100 and the share of the limit."""
    file = take_json()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--noise", default="none", choices=[noise.value for noise in SceneNoise])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    settings = scene_settings(ScenesConfig(noise=SceneNoise(options.noise)))
    draw_scene(settings, 0)  # builds meshes and imports what it needs
    drawing, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(options.scenes):
            started = time.process_time()
            image, _ = draw_scene(settings, index)
            drawing.append(time.process_time() - started)
            write_image(Path(folder) / f"image_{index}.jpg", image)
            whole.append(time.process_time() - started)
    per_100 = 100 * float(np.mean(whole))
    print(f"{options.scenes} scenes of 1520x870, one core, opencv {cv2.__version__}, numpy {np.__version__}")
    print(f"drawing {1e3 * np.mean(drawing):.1f} ms a scene (p95 {1e3 * np.quantile(drawing, 0.95):.1f})")
    print(f"100 scenes drawn and written: {per_100:.1f} s of {LIMIT_S:.0f} s allowed, ratio {LIMIT_S / per_100:.2f}")
    record(file, "scenes", {"images": 100, "cpu_s": per_100, "allowed_s": LIMIT_S})


if __name__ == "__main__":
    main()
