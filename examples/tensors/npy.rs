// SPDX-License-Identifier: MPL-2.0
//! Arrays as NumPy keeps them in files.

use std::fs;
use std::io;
use std::path::Path;

use gstlipsync::runtime::Tensor;

/// A dense array, last axis fastest.
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Values,
}

pub enum Values {
    F32(Vec<f32>),
    U8(Vec<u8>),
}

impl Array {
    pub fn floats(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Self { shape: shape.into(), values: Values::F32(values) }
    }

    pub fn bytes(shape: impl Into<Vec<usize>>, values: Vec<u8>) -> Self {
        Self { shape: shape.into(), values: Values::U8(values) }
    }

    /// Least, greatest and mean value.
    pub fn summary(&self) -> [f64; 3] {
        fn of(values: impl Iterator<Item = f64>) -> [f64; 3] {
            let (mut low, mut high, mut sum, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0);
            for v in values {
                (low, high, sum, count) = (low.min(v), high.max(v), sum + v, count + 1.0);
            }
            [low, high, sum / count]
        }
        match &self.values {
            Values::F32(values) => of(values.iter().map(|&v| f64::from(v))),
            Values::U8(values) => of(values.iter().map(|&v| f64::from(v))),
        }
    }

    /// Writes the array in format 1.0 of `numpy.lib.format`.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let (kind, content) = match &self.values {
            Values::F32(values) => ("<f4", values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Values::U8(values) => ("|u1", values.clone()),
        };
        let axes: String = self.shape.iter().map(|n| format!("{n}, ")).collect();
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({axes}), }}");
        // Magic, version, length of the header and the header with a line's end fill whole blocks of 64 bytes.
        let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
        let start = [b"\x93NUMPY\x01\x00", &(length as u16).to_le_bytes()[..]].concat();
        let header = format!("{header:<width$}\n", width = length - 1);
        fs::write(file, [start, header.into_bytes(), content].concat())
    }
}

impl From<&Tensor> for Array {
    fn from(tensor: &Tensor) -> Self {
        Self::floats(tensor.shape.clone(), tensor.data.clone())
    }
}
