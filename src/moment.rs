// SPDX-License-Identifier: MPL-2.0
//! Which frame of which clip a picture is, as a reference timestamp on its buffer.

use std::sync::atomic::{AtomicU64, Ordering};

/// A frame of a clip. In one process no two clips have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub clip: u64,
    pub frame: u64,
}

const NAME: &str = "timestamp/x-lipsync-clip";

impl Moment {
    /// Says so on the buffer. The timestamp counts frames, not nanoseconds.
    pub fn mark(self, buffer: &mut gst::BufferRef) {
        let reference = gst::Caps::builder(NAME).field("clip", self.clip).build();
        gst::ReferenceTimestampMeta::add(buffer, &reference, gst::ClockTime::from_nseconds(self.frame), None);
    }
}

/// The number of another clip.
pub fn next_clip() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where the picture comes from, where avatarloop has said so.
pub fn of(buffer: &gst::BufferRef) -> Option<Moment> {
    buffer.iter_meta::<gst::ReferenceTimestampMeta>().find_map(|meta| {
        let about = meta.reference().structure(0).filter(|about| about.name() == NAME)?;
        Some(Moment { clip: about.get("clip").ok()?, frame: meta.timestamp().nseconds() })
    })
}
