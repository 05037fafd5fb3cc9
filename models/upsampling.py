# SPDX-License-Identifier: MPL-2.0
"""What makes pictures larger in a network, as operations that runtimes have fast in 8-bit integers: ONNX Runtime computes ConvTranspose in
floats there, and Resize number by number. Only last bits change.

With a stride of s, every s-th row of a transposed convolution's result meets the same taps of the kernel. Each of these s phases is an
ordinary convolution of the small picture, and all of them are one with s · s times the channels, whose pixels are then laid side by side."""

import numpy as np
from onnx import helper, numpy_helper, shape_inference

# Which pixel of the small picture each of the large one comes from: those of one block from the same, if the factor is a whole number.
BLOCKS = {(b"asymmetric", b"floor"), (b"half_pixel", b"round_prefer_floor")}


def replace(graph, kept=()):
    """Changes an ONNX file's content. Nodes named in `kept`, other ways of resizing, and what has no fixed size but for the batch, stay."""
    body = graph.graph
    constants = {tensor.name: tensor for tensor in body.initializer}
    values = [*body.input, *shape_inference.infer_shapes(graph).graph.value_info, *body.output]
    shapes = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in values}
    outputs = {value.name for value in body.output}
    nodes, merged = [], set()
    for node in body.node:
        if node.output[0] in merged:
            continue
        before, after = shapes.get(node.input[0] if node.input else "", []), shapes.get(node.output[0], [])
        known = len(before) == len(after) == 4 and all(before[1:] + after[1:]) and node.name not in kept
        last, new = node.output[0], None
        if node.op_type == "Resize" and known:
            new = copies(attributes(node), before, after)
        elif node.op_type == "ConvTranspose" and known and {*node.input[1:]} <= constants.keys():
            readers = [other for other in body.node if last in other.input]
            relu = len(readers) == 1 and readers[0].op_type == "Relu" and last not in outputs
            new = phases(attributes(node), before, relu, *(numpy_helper.to_array(constants[name]) for name in node.input[1:]))
            if new and relu:
                last = readers[0].output[0]
                merged.add(last)
        if not new:
            nodes.append(node)
            continue
        value = node.input[0]
        for k, (kind, inputs, given) in enumerate(new):
            name = f"{node.output[0]}_{kind}_{k}"
            # An input is the value so far, or a constant.
            named = [value if content is None else f"{name}_{n}" for n, content in enumerate(inputs)]
            body.initializer.extend(numpy_helper.from_array(c, n) for c, n in zip(inputs, named) if c is not None)
            value = last if k == len(new) - 1 else name
            nodes.append(helper.make_node(kind, named, [value], name, **given))
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in body.initializer if tensor.name in used]
    for field, content in ((body.node, nodes), (body.initializer, kept)):
        del field[:]
        field.extend(content)


def attributes(node):
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def copies(given, before, after):
    """(operation, inputs, attributes) of each step that makes a block of equal pixels of every pixel, by copying pixels, then rows."""
    where = given.get("coordinate_transformation_mode", b"half_pixel"), given.get("nearest_mode", b"round_prefer_floor")
    (down, odd), (across, uneven) = (divmod(large, small) for small, large in zip(before[2:], after[2:]))
    if given.get("mode", b"nearest") != b"nearest" or where not in BLOCKS or before[1] != after[1] or odd or uneven:
        return None
    channels, high, wide = after[1:]
    return [
        ("Transpose", [None], {"perm": [0, 2, 3, 1]}),
        ("Concat", [None] * across, {"axis": 3}),
        ("Reshape", [None, np.array([-1, before[2], wide * channels])], {}),
        ("Concat", [None] * down, {"axis": 2}),
        ("Reshape", [None, np.array([-1, high, wide, channels])], {}),
        ("Transpose", [None], {"perm": [0, 3, 1, 2]}),
    ]


def phases(given, shape, relu, kernel, bias=None):
    """(operation, inputs, attributes) of each step of a transposed convolution, and of the ReLU behind it."""
    strides, pads, more = given.get("strides", [1, 1]), given.get("pads", [0] * 4), given.get("output_padding", [0, 0])
    special = given.get("group", 1) != 1 or {*given.get("dilations", [1])} != {1} or given.get("auto_pad", b"NOTSET") != b"NOTSET"
    axes = [along(*axis) for axis in zip(shape[2:], kernel.shape[2:], strides, pads[:2], pads[2:], more)]
    if special or "output_shape" in given or None in axes:
        return None
    (rows, high, top, bottom), (columns, wide, left, right) = axes
    (down, across), channels = strides, kernel.shape[1]
    # A tap behind the last one is 0. (input, output, y, x) → (phase y, phase x, output, input, y, x)
    taps = np.pad(kernel, ((0, 0), (0, 0), (0, 1), (0, 1)))[:, :, rows][..., columns].transpose(2, 4, 1, 0, 3, 5)
    inputs = [None, taps.reshape(-1, *taps.shape[3:])] + ([] if bias is None else [np.tile(bias, down * across)])
    steps = [("Conv", inputs, {"pads": [top, left, bottom, right], "kernel_shape": taps.shape[4:]})]
    if relu:
        # Here and not behind the laying: runtimes make one operation of it and the convolution.
        steps.append(("Relu", [None], {}))
    if down * across == 1:
        return steps
    # With the channels last, whole pixels move, and not numbers one by one as in DepthToSpace.
    return steps + [
        ("Transpose", [None], {"perm": [0, 2, 3, 1]}),
        ("Reshape", [None, np.array([-1, high, wide, down, across * channels])], {}),
        ("Transpose", [None], {"perm": [0, 1, 3, 2, 4]}),
        ("Reshape", [None, np.array([-1, high * down, wide * across, channels])], {}),
        ("Transpose", [None], {"perm": [0, 3, 1, 2]}),
    ]


def along(size, kernel, stride, begin, end, more):
    """Along one axis: which tap of the kernel (`kernel` for none) each phase has at each place, how many pixels it makes, and how many zeros
    go before and behind."""
    made, rest = divmod((size - 1) * stride - begin - end + kernel + more, stride)
    before = (kernel - 1 - begin) // stride
    length = before + (stride - 1 + begin) // stride + 1
    behind = made - size - before + length - 1
    if rest or min(before, behind) < 0:
        return None
    # Of place j a phase's pixel q sees the picture's q + j - before.
    tap = np.arange(stride)[:, None] + begin - stride * (np.arange(length) - before)
    return np.where((tap >= 0) & (tap < kernel), tap, kernel), made, before, behind
