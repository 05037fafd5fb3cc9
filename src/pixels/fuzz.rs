// SPDX-License-Identifier: MPL-2.0
//! Frames of any format, size and layout, and what is cut out of them.

use arbitrary::{Result, Unstructured};
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo, VideoMeta};

use super::{Canvas, FORMATS, Kernel, Layout, PlaneCrop, luma, resample};
use crate::fuzzing::{number, numbers};
use crate::geometry::Affine;

/// A frame in memory.
pub(crate) struct Frame {
    pub info: VideoInfo,
    pub buffer: gst::Buffer,
}

impl Frame {
    /// Its planes lie in any distance of each other, and their rows too; now and then as they cannot.
    pub fn new(u: &mut Unstructured) -> Result<Option<Self>> {
        let _ = gst::init();
        let format = *u.choose(FORMATS)?;
        let [width, height] = [u.int_in_range(1..=70)?, u.int_in_range(1..=50)?];
        let colorimetry = u.choose(&["bt601", "bt709", "bt2020", "1:4:0:0", "1:1:0:0", "sRGB"])?.parse();
        let Ok(info) = VideoInfo::builder(format, width, height).colorimetry_if_some(colorimetry.ok().as_ref()).build()
        else {
            return Ok(None);
        };
        let (mut offsets, mut strides, mut size) = (Vec::new(), Vec::new(), 0);
        for plane in 0..info.n_planes() as usize {
            let stride = info.stride()[plane] + u.int_in_range(0..=9)?;
            let rows = if plane == 0 { height } else { info.comp_height(1) };
            size += u.int_in_range(0..=5)?;
            offsets.push(size);
            size += stride as usize * rows as usize;
            strides.push(if u.ratio(1, 40)? { *u.choose(&[0, 1, stride / 2])? } else { stride });
        }
        let pattern = u.bytes(u.len().min(7))?.to_vec();
        let bytes: Vec<u8> = pattern.iter().copied().chain([0, 255, 17]).cycle().take(size).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        // Just made, so nobody else holds it.
        let with_meta = VideoMeta::add_full(
            buffer.make_mut(),
            gst_video::VideoFrameFlags::empty(),
            format,
            width,
            height,
            &offsets,
            &strides,
        );
        let fits = with_meta.is_ok();
        Ok(fits.then_some(Self { info, buffer }))
    }

    pub fn read<T>(&self, with: impl FnOnce(&VideoFrameRef<&gst::BufferRef>) -> T) -> Option<T> {
        let frame = VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info).ok()?;
        Some(with(&frame))
    }

    /// Lets `with` change the frame, and sees to it that it changes samples only.
    pub fn write(&mut self, with: impl FnOnce(&mut Canvas)) {
        let samples = self.read(|frame| samples(frame.info())).flatten();
        let bytes = |buffer: &gst::Buffer| buffer.map_readable().map(|map| map.to_vec()).unwrap_or_default();
        let before = bytes(&self.buffer);
        if let Ok(mut frame) = VideoFrameRef::from_buffer_ref_writable(self.buffer.make_mut(), &self.info)
            && let Some(mut canvas) = Canvas::new(&mut frame)
        {
            with(&mut canvas);
        }
        let after = bytes(&self.buffer);
        for k in (0..before.len()).filter(|&k| before[k] != after[k]) {
            assert!(samples.as_ref().is_some_and(|samples| samples.contains(&k)), "byte {k} is no sample");
        }
    }
}

/// Where the bytes that are samples lie.
fn samples(info: &VideoInfo) -> Option<std::collections::HashSet<usize>> {
    let layouts = Layout::of(info)?;
    let place = |layout: Layout| {
        let start = info.offset()[layout.plane];
        (0..layout.width * layout.height).map(move |k| start + layout.at(k % layout.width, k / layout.width))
    };
    Some(layouts.into_iter().flat_map(place).collect())
}

/// A map that may be none.
pub(crate) fn map(u: &mut Unstructured) -> Result<Affine> {
    Ok(match u.int_in_range(0..=2)? {
        0 => Affine(numbers(u)?),
        // Upright, as most are.
        1 => Affine([number(u)?, 0.0, number(u)?, 0.0, number(u)?, number(u)?]),
        _ => {
            let [a, b, c, f] = numbers(u)?;
            Affine([a, -b, c, b, a, f])
        }
    })
}

/// Everything that reads a rectangle of a frame.
pub fn cut(u: &mut Unstructured) -> Result<()> {
    let Some(frame) = Frame::new(u)? else { return Ok(()) };
    let (map, size) = (map(u)?, [u.int_in_range(0..=20)?, u.int_in_range(0..=20)?]);
    let edges = u.arbitrary::<bool>()?.then(|| numbers(u)).transpose()?;
    let kernel = *u.choose(&[Kernel::Linear, Kernel::Cubic, Kernel::Lanczos, Kernel::Area])?;
    let (mean, std) = (numbers(u)?, numbers(u)?);
    let (part, width) = (u.arbitrary::<[u8; 4]>()?.map(usize::from), u.arbitrary::<u8>()?);
    let pitch = u.int_in_range(0..=25)?;
    frame.read(|frame| {
        let cut = resample(frame, &map, size, kernel, edges);
        assert_eq!((cut.width, cut.height, cut.data.len()), (size[0], size[1], size[0] * size[1] * 3));
        let grey = luma(frame, part, width.into());
        assert!(grey.data.len() == grey.width * grey.height && !grey.data.is_empty());
        let mut planes = vec![[f32::NAN; 3 * 100]; 3];
        if let [red, green, blue] = &mut planes[..] {
            PlaneCrop::new(mean, std).cut(frame, &map, size, [red, green, blue], pitch);
        }
    });
    Ok(())
}
