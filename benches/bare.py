#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""A model's graph alone in ONNX Runtime, for benches/compare.sh:  bare.py GRAPH.onnx FRAMES

Prints the seconds until the first batch is there (loading the graph, not the Python package), and those that FRAMES frames take then.
"""
import sys
import time

import numpy as np
import onnxruntime
from measure import BATCH

graph, frames = sys.argv[1], int(sys.argv[2])
start = time.perf_counter()
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
numbers = np.random.default_rng(0)
inputs = {
    i.name: numbers.random([BATCH if isinstance(axis, str) else axis for axis in i.shape]).astype(kinds[i.type]) for i in session.get_inputs()
}
session.run(None, inputs)
first = time.perf_counter()
for _ in range(-(-frames // BATCH)):
    session.run(None, inputs)
print(f"{first - start:.3f} {time.perf_counter() - first:.3f}")
