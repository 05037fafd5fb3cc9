# SPDX-License-Identifier: MPL-2.0
"""Weights for blending, as grey pictures."""

import cv2
import numpy as np


def soft_rectangle(side, rectangle, border, file, invert=False):
    """255 inside `rectangle` (rows, columns; ends exclusive), falling to 0 at its border over `border` pixels; inverted, the other way round."""
    ramps = []
    for start, end in rectangle:
        at = np.arange(side) + 0.5
        ramps.append(np.clip(np.minimum(at - start, end - at) / border, 0, 1))
    weight = np.outer(*ramps)
    cv2.imwrite(str(file), np.rint(255 * (1 - weight if invert else weight)).astype(np.uint8))
