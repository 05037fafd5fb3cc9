// SPDX-License-Identifier: MPL-2.0
//! Small ONNX graphs, written byte by byte: a graph is a nest of numbered fields (protocol buffers).

/// A field that holds bytes: a text, or another nest.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&*varint(u64::from(number) << 3 | 2), &*varint(content.len() as u64), content].concat()
}

fn number(number: u8, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

/// Seven bits a byte, lowest first, the highest bit saying that more follow.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

pub const FLOAT: u64 = 1;
pub const INT64: u64 = 7;

/// A tensor of a graph's border; 0 is an axis of any length.
pub fn border(name: &str, element: u64, axes: &[u64]) -> Vec<u8> {
    let axes = axes.iter().map(|&n| field(1, &if n > 0 { number(1, n) } else { field(2, b"any") }));
    let shape = axes.collect::<Vec<_>>().concat();
    let tensor = [number(1, element), field(2, &shape)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

pub fn floats(name: &str, axes: &[u64]) -> Vec<u8> {
    border(name, FLOAT, axes)
}

/// A constant.
pub fn constant(name: &str, axes: &[u64], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let axes = axes.iter().map(|&n| number(1, n)).collect::<Vec<_>>().concat();
    [axes, number(2, FLOAT), field(8, name.as_bytes()), field(9, &raw)].concat()
}

/// A whole number that an operator is told.
pub fn whole(name: &str, value: u64) -> Vec<u8> {
    const INT: u64 = 2;
    [field(1, name.as_bytes()), number(3, value), number(20, INT)].concat()
}

/// A list of whole numbers that an operator is told.
pub fn list(name: &str, values: &[u64]) -> Vec<u8> {
    const INTS: u64 = 7;
    let values = values.iter().map(|&n| number(8, n)).collect::<Vec<_>>().concat();
    [field(1, name.as_bytes()), values, number(20, INTS)].concat()
}

/// An operator and what it is applied to.
pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs = inputs.iter().map(|name| field(1, name.as_bytes())).collect::<Vec<_>>().concat();
    let attributes = attributes.iter().map(|a| field(5, a)).collect::<Vec<_>>().concat();
    [inputs, field(2, output.as_bytes()), field(4, operator.as_bytes()), attributes].concat()
}

/// A whole file.
pub fn graph(nodes: &[Vec<u8>], constants: &[Vec<u8>], inputs: &[Vec<u8>], outputs: &[Vec<u8>]) -> Vec<u8> {
    let all = |number, list: &[Vec<u8>]| list.iter().map(|x| field(number, x)).collect::<Vec<_>>().concat();
    let graph = [all(1, nodes), field(2, b"test"), all(5, constants), all(11, inputs), all(12, outputs)].concat();
    const IR: u64 = 8;
    const OPERATORS: u64 = 17;
    [number(1, IR), field(7, &graph), field(8, &number(2, OPERATORS))].concat()
}
