#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""usage: libtorch.py FOLDER WHEEL...    takes out of the wheels what building against libtorch and running it on the CPU needs

FOLDER/lib: libtorch_cpu.so and what it is linked to, 425 MB; libtorch.so, which is empty, because the linker is told of it.
FOLDER/include: 62 MB for the compiler. Left out are 0.5 GB for graphics cards, which would need 3 GB of other packages, and Python's."""

import re
import shutil
import sys
import zipfile
from pathlib import Path

OF_TORCH = re.compile(r"torch/lib/lib(?!\w*(cuda|nvrtc|nvshmem|python|shm|global_deps)).*\.so.*")
OF_CUDA = re.compile(r"nvidia/.*/lib(cudart|cupti)\.so.*")


def main():
    folder, *wheels = sys.argv[1:]
    folder = Path(folder)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if OF_TORCH.fullmatch(entry.filename) or OF_CUDA.fullmatch(entry.filename):
                    target = folder / "lib" / Path(entry.filename).name
                elif entry.filename.startswith("torch/include/") and not entry.is_dir():
                    target = folder / entry.filename.removeprefix("torch/")
                else:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)


main()
