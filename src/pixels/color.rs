// SPDX-License-Identifier: MPL-2.0
//! Between a frame's component values and full-range RGB.

use gst_video::{VideoColorMatrix, VideoColorRange, VideoInfo};

/// The affine map between a frame's components and R, G, B, all 0..255 and gamma-encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorMap {
    /// rgb = to_rgb · (components − zero)
    to_rgb: [[f32; 3]; 3],
    /// components = from_rgb · rgb + zero
    from_rgb: [[f32; 3]; 3],
    /// The components of black.
    zero: [f32; 3],
}

impl ColorMap {
    /// The map for frames of this format and colorimetry. What the colorimetry leaves open is what GStreamer takes it for:
    /// full range for RGB, limited range and BT.601 for YUV.
    pub fn new(info: &VideoInfo) -> Self {
        let colorimetry = info.colorimetry();
        if info.is_rgb() {
            let limited = colorimetry.range() == VideoColorRange::Range16_235;
            let (scale, zero) = if limited { (219.0 / 255.0, 16.0) } else { (1.0, 0.0) };
            let diagonal = |v: f32| [[v, 0.0, 0.0], [0.0, v, 0.0], [0.0, 0.0, v]];
            return Self { to_rgb: diagonal(1.0 / scale), from_rgb: diagonal(scale), zero: [zero; 3] };
        }
        let full = colorimetry.range() == VideoColorRange::Range0_255;
        let (kr, kb) = match colorimetry.matrix() {
            VideoColorMatrix::Bt709 => (0.2126, 0.0722),
            VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
            VideoColorMatrix::Smpte240m => (0.212, 0.087),
            VideoColorMatrix::Fcc => (0.30, 0.11),
            _ => (0.299, 0.114),
        };
        Self::yuv(kr, kb, full)
    }

    /// From the luma weights of red and blue, as ITU-R BT.601, 709 and 2020 define YCbCr with 8 bits.
    fn yuv(kr: f32, kb: f32, full: bool) -> Self {
        let kg = 1.0 - kr - kb;
        let (y, c) = if full { (1.0, 1.0) } else { (219.0 / 255.0, 224.0 / 255.0) };
        let (u, v) = (c * 0.5 / (1.0 - kb), c * 0.5 / (1.0 - kr));
        Self {
            from_rgb: [
                [kr * y, kg * y, kb * y],
                [-kr * u, -kg * u, (1.0 - kb) * u],
                [(1.0 - kr) * v, -kg * v, -kb * v],
            ],
            to_rgb: [[1.0 / y, 0.0, 1.0 / v], [1.0 / y, -kb / kg / u, -kr / kg / v], [1.0 / y, 1.0 / u, 0.0]],
            zero: [if full { 0.0 } else { 16.0 }, 128.0, 128.0],
        }
    }

    /// Whether the components are R, G, B themselves.
    pub fn is_identity(&self) -> bool {
        self.to_rgb == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] && self.zero == [0.0; 3]
    }

    #[inline]
    pub fn to_rgb(&self, components: [f32; 3]) -> [f32; 3] {
        let c = [components[0] - self.zero[0], components[1] - self.zero[1], components[2] - self.zero[2]];
        self.to_rgb.map(|row| row[0] * c[0] + row[1] * c[1] + row[2] * c[2])
    }

    /// Full-range grey from luma, which is Y, or a weighted mean of a frame's R, G, B.
    #[inline]
    pub fn gray(&self, luma: f32) -> f32 {
        self.to_rgb[0][0] * (luma - self.zero[0])
    }

    #[inline]
    pub fn from_rgb(&self, rgb: [f32; 3]) -> [f32; 3] {
        let [a, b, c] = self.from_rgb.map(|row| row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2]);
        [a + self.zero[0], b + self.zero[1], c + self.zero[2]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(format: gst_video::VideoFormat, colorimetry: &str) -> ColorMap {
        gst::init().unwrap();
        let colorimetry = colorimetry.parse().unwrap();
        let info = gst_video::VideoInfo::builder(format, 64, 64).colorimetry(&colorimetry).build().unwrap();
        ColorMap::new(&info)
    }

    fn near(a: [f32; 3], b: [f32; 3], by: f32) -> bool {
        (0..3).all(|k| (a[k] - b[k]).abs() <= by)
    }

    #[test]
    fn primaries_have_the_values_of_the_standards() {
        use gst_video::VideoFormat::*;
        // 8-bit values of 100 % bars as published for BT.601, BT.709 and BT.2020 systems.
        let red = [255.0, 0.0, 0.0];
        assert!(near(map(I420, "bt601").from_rgb(red), [81.0, 90.0, 240.0], 0.6));
        assert!(near(map(I420, "bt709").from_rgb(red), [63.0, 102.0, 240.0], 0.6));
        assert!(near(map(I420, "bt2020").from_rgb(red), [73.5, 96.7, 240.0], 0.6));
        assert!(near(map(I420, "1:4:0:0").from_rgb(red), [76.2, 85.0, 255.5], 0.6));
        assert!(near(map(I420, "bt709").from_rgb([255.0; 3]), [235.0, 128.0, 128.0], 0.01));
        assert!(near(map(I420, "bt709").to_rgb([16.0, 128.0, 128.0]), [0.0; 3], 0.01));
        assert!(near(map(Rgb, "sRGB").from_rgb(red), red, 0.0));
    }

    #[test]
    fn both_ways_cancel() {
        for colorimetry in ["bt601", "bt709", "bt2020", "smpte240m", "1:3:0:0", "1:4:0:0", "2:1:0:0", "1:1:0:0"] {
            for format in [gst_video::VideoFormat::I420, gst_video::VideoFormat::Rgb] {
                let map = map(format, colorimetry);
                let rgb = [200.0, 17.0, 93.0];
                assert!(near(map.to_rgb(map.from_rgb(rgb)), rgb, 1e-3), "{colorimetry} {format}");
            }
        }
    }
}
