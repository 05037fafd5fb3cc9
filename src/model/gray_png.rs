// SPDX-License-Identifier: MPL-2.0
//! Reading a grey PNG picture.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::pixels::GrayImage;

/// The longest side that a picture of weights may have; more is a mistake, or malice.
const MAX_SIDE: u32 = 4096;

/// A picture of that size takes half of this, without any compression.
const MAX_BYTES: u64 = 32 << 20;

/// The grey picture in `file`, with 1, 2, 4 or 8 bits per pixel stretched over 0..255. The error says what is wrong with it.
pub fn read(file: &Path) -> Result<GrayImage, String> {
    let opened = File::open(file).map_err(|e| e.to_string())?;
    let bytes = opened.metadata().map_err(|e| e.to_string())?.len();
    if bytes > MAX_BYTES {
        return Err(format!("expected a grey PNG picture of at most {MAX_BYTES} bytes, found {bytes} bytes"));
    }
    let broken = |e: png::DecodingError| format!("expected a grey PNG picture, found: {e}");
    let limits = Limits { bytes: 2 * (MAX_SIDE * MAX_SIDE) as usize };
    let mut decoder = Decoder::new_with_limits(BufReader::new(opened), limits);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(broken)?;
    let info = reader.info();
    if reader.output_color_type() != (ColorType::Grayscale, BitDepth::Eight) {
        return Err(format!(
            "expected grey without alpha, at most 8 bits per pixel, found {:?} with {} bits per channel{}",
            info.color_type,
            info.bit_depth as u8,
            if info.trns.is_some() { " and transparency" } else { "" }
        ));
    }
    if info.width > MAX_SIDE || info.height > MAX_SIDE {
        return Err(format!("expected at most {MAX_SIDE} × {MAX_SIDE} pixels, found {} × {}", info.width, info.height));
    }
    let (width, height) = (info.width as usize, info.height as usize);
    let size = reader.output_buffer_size().unwrap_or(width * height);
    let mut data = vec![0; size];
    reader.next_frame(&mut data).map_err(broken)?;
    // Rows of whole bytes lie without padding.
    data.truncate(width * height);
    Ok(GrayImage { width, height, data })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Writes a picture into the temporary folder.
    pub fn write(name: &str, size: [u32; 2], color: ColorType, depth: BitDepth, data: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lipsync-{}-{name}.png", std::process::id()));
        let mut encoder = png::Encoder::new(File::create(&path).unwrap(), size[0], size[1]);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        path
    }

    /// Reads what was written and removes it.
    fn back(path: PathBuf) -> Result<GrayImage, String> {
        let read = read(&path);
        std::fs::remove_file(path).unwrap();
        read
    }

    #[test]
    fn grey_of_up_to_8_bits_is_read_exactly() {
        let eight = back(write("eight", [3, 2], ColorType::Grayscale, BitDepth::Eight, &[0, 7, 255, 9, 128, 1]));
        assert_eq!(eight, Ok(GrayImage { width: 3, height: 2, data: vec![0, 7, 255, 9, 128, 1] }));
        let one = back(write("one", [3, 2], ColorType::Grayscale, BitDepth::One, &[0b1010_0000, 0b0100_0000]));
        assert_eq!(one, Ok(GrayImage { width: 3, height: 2, data: vec![255, 0, 255, 0, 255, 0] }));
    }

    #[test]
    fn anything_else_is_named() {
        let error = |path: PathBuf, expected: &str| {
            let error = back(path).unwrap_err();
            assert!(error.contains("expected ") && error.contains(expected), "{error}");
        };
        error(write("rgb", [1, 1], ColorType::Rgb, BitDepth::Eight, &[1, 2, 3]), "found Rgb with 8 bits");
        error(write("deep", [1, 1], ColorType::Grayscale, BitDepth::Sixteen, &[1, 2]), "found Grayscale with 16 bits");
        error(write("alpha", [1, 1], ColorType::GrayscaleAlpha, BitDepth::Eight, &[1, 2]), "found GrayscaleAlpha");
        let long = vec![0; MAX_SIDE as usize + 1];
        error(write("long", [MAX_SIDE + 1, 1], ColorType::Grayscale, BitDepth::Eight, &long), "found 4097 × 1");
        let text = std::env::temp_dir().join(format!("lipsync-{}-text.png", std::process::id()));
        std::fs::write(&text, "not a picture").unwrap();
        error(text, "found: ");
        let sparse = write("sparse", [1, 1], ColorType::Grayscale, BitDepth::Eight, &[1]);
        File::options().write(true).open(&sparse).unwrap().set_len(MAX_BYTES + 1).unwrap();
        error(sparse, "of at most 33554432 bytes, found 33554433");
        let cut = write("cut", [64, 64], ColorType::Grayscale, BitDepth::Eight, &[77; 4096]);
        let whole = std::fs::read(&cut).unwrap();
        std::fs::write(&cut, &whole[..whole.len() - 30]).unwrap();
        error(cut, "found: ");
    }
}
