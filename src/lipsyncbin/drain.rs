// SPDX-License-Identifier: MPL-2.0
//! Emptying a queue without a flush, which the elements behind it would have to take part in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gst::prelude::*;

/// Counts what goes into a queue and what comes out of it.
#[derive(Default)]
struct Counts {
    inside: AtomicU64,
    out: AtomicU64,
    /// What went in before this is dropped when it comes out.
    keep_from: AtomicU64,
    dropping: AtomicBool,
}

impl Counts {
    fn reset(&self) {
        for count in [&self.inside, &self.out, &self.keep_from] {
            count.store(0, Ordering::Release);
        }
        self.dropping.store(false, Ordering::Release);
    }
}

/// A queue that can be emptied.
pub struct Drain(Arc<Counts>);

impl Drain {
    /// `queue` must be empty, and must not leak.
    pub fn of(queue: &gst::Element) -> Self {
        let counts = Arc::new(Counts::default());
        if let (Some(sink), Some(src)) = (queue.static_pad("sink"), queue.static_pad("src")) {
            let entering = counts.clone();
            let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
            sink.add_probe(kinds, move |_, info| {
                match &info.data {
                    Some(gst::PadProbeData::Buffer(_)) => _ = entering.inside.fetch_add(1, Ordering::AcqRel),
                    // The queue throws away what it holds.
                    Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::FlushStop => {
                        entering.reset()
                    }
                    _ => {}
                }
                gst::PadProbeReturn::Ok
            });
            let leaving = counts.clone();
            src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                let number = leaving.out.fetch_add(1, Ordering::AcqRel);
                if number < leaving.keep_from.load(Ordering::Acquire) {
                    leaving.dropping.store(true, Ordering::Release);
                    return gst::PadProbeReturn::Drop;
                }
                if leaving.dropping.swap(false, Ordering::AcqRel)
                    && let Some(buffer) = info.buffer_mut()
                {
                    buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
                }
                gst::PadProbeReturn::Ok
            });
        }
        Self(counts)
    }

    /// Drops what the queue holds now. Returns at once.
    pub fn empty(&self) {
        self.0.keep_from.store(self.0.inside.load(Ordering::Acquire), Ordering::Release);
    }

    /// The queue has thrown away what it held.
    pub fn reset(&self) {
        self.0.reset();
    }
}
