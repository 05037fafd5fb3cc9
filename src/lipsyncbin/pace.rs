// SPDX-License-Identifier: MPL-2.0
//! In a live pipeline the sound leaves the bin just before it is heard, in small pieces. What has left waits in queues and sinks that
//! cannot be emptied without disturbing muxers; what has not left can be dropped.

use std::sync::Arc;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst_audio::AudioInfo;
use parking_lot::{Condvar, Mutex};

/// Longer buffers leave in pieces of this. They leave when the bin's latency says so: for the way from there a sink allows 20 ms
/// (its property processing-deadline), so what is heard after an interruption is 25 ms at most.
const PIECE: gst::ClockTime = gst::ClockTime::from_mseconds(5);

/// How far a buffer's duration may be from that of its samples: what formats of files round to.
const TRUE: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// How soon a pause, or a clock that was set, is noticed while a piece waits.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    /// From a buffer's running time to when it is due. `None`: not live, or not known yet.
    latency: Option<gst::ClockTime>,
    interruptions: u64,
    /// Sound was dropped since the last piece that left.
    cut: bool,
    stopped: bool,
    flushing: bool,
}

/// Holds back what leaves through a pad of a bin.
#[derive(Default)]
pub struct Pace {
    state: Mutex<State>,
    changed: Condvar,
}

impl Pace {
    /// `pad` is a source pad of the bin's. `ends`: those that lead out of it, whose latencies are all waited for.
    pub fn of(
        bin: glib::WeakRef<super::LipsyncBin>,
        pad: &gst::GhostPad,
        ends: [glib::WeakRef<gst::GhostPad>; 2],
    ) -> Arc<Self> {
        let pace = Arc::new(Self::default());
        let own = pace.clone();
        pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && event.type_() == gst::EventType::Latency
            {
                let latency = ends.iter().filter_map(glib::WeakRef::upgrade).filter_map(|end| live_latency(&end)).max();
                own.change(|state| state.latency = latency);
            }
            gst::PadProbeReturn::Ok
        });
        let own = pace.clone();
        pad.add_probe(gst::PadProbeType::EVENT_FLUSH, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data {
                own.change(|state| state.flushing = event.type_() == gst::EventType::FlushStart);
            }
            gst::PadProbeReturn::Ok
        });
        let own = pace.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            // Pieces that this very probe pushes are held by nobody.
            let whole = info.buffer().is_some_and(|buffer| buffer.duration().is_none_or(|all| all > PIECE));
            let (Some(bin), Some(buffer)) = (bin.upgrade(), info.buffer_mut()) else { return gst::PadProbeReturn::Ok };
            let interruptions = own.state.lock().interruptions;
            let pieces = if whole { own.pieces(pad, buffer) } else { Vec::new() };
            if pieces.is_empty() {
                return own.hold(&bin, pad, buffer, interruptions);
            }
            let mut result = Ok(gst::FlowSuccess::Ok);
            for piece in pieces {
                if own.state.lock().interruptions != interruptions || result.is_err() {
                    break;
                }
                result = pad.push(piece);
            }
            info.data = None;
            info.flow_res = result;
            gst::PadProbeReturn::Handled
        });
        pace
    }

    fn change(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Nothing of what waits leaves any more.
    pub fn interrupt(&self) {
        self.change(|state| (state.interruptions, state.cut) = (state.interruptions + 1, true));
    }

    /// Nothing waits until [`Pace::start`].
    pub fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    pub fn start(&self) {
        *self.state.lock() = State::default();
    }

    /// Lets `buffer` go when it is due, or drops it where an interruption comes first.
    fn hold(
        &self,
        bin: &super::LipsyncBin,
        pad: &gst::GhostPad,
        buffer: &mut gst::Buffer,
        interruptions: u64,
    ) -> gst::PadProbeReturn {
        let time = running_time(pad, buffer);
        let mut state = self.state.lock();
        loop {
            if state.interruptions != interruptions {
                return gst::PadProbeReturn::Drop;
            }
            let (Some(time), Some(latency)) = (time, state.latency) else { break };
            let playing = bin.current_state() == gst::State::Playing;
            let (Some(now), false, false, true) = (bin.current_running_time(), state.stopped, state.flushing, playing)
            else {
                break;
            };
            let due = time + latency;
            if due <= now {
                break;
            }
            self.changed.wait_for(&mut state, Duration::from(due - now).min(LOOK));
        }
        if std::mem::take(&mut state.cut) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        gst::PadProbeReturn::Ok
    }

    /// What a long buffer is to be cut into; nothing where it need not be, or cannot.
    fn pieces(&self, pad: &gst::GhostPad, buffer: &gst::BufferRef) -> Vec<gst::Buffer> {
        let caps = pad.current_caps().filter(|_| self.state.lock().latency.is_some());
        let info = caps.and_then(|caps| AudioInfo::from_caps(&caps).ok());
        let Some(info) = info.filter(|info| info.layout() == gst_audio::AudioLayout::Interleaved) else {
            return Vec::new();
        };
        let (rate, frame) = (u64::from(info.rate()), info.bpf() as usize);
        let Some(pts) = buffer.pts() else { return Vec::new() };
        let step = PIECE.nseconds().saturating_mul(rate) / gst::ClockTime::SECOND.nseconds();
        let step = (step as usize).saturating_mul(frame);
        if frame == 0 || step == 0 || buffer.size() <= step || !buffer.size().is_multiple_of(frame) {
            return Vec::new();
        }
        let time = |bytes: usize| gst::ClockTime::SECOND.mul_div_floor((bytes / frame) as u64, rate);
        // One whose times are not those of its samples keeps both.
        let held = time(buffer.size());
        if buffer.duration().is_some_and(|said| held.is_none_or(|held| said.absdiff(held) > TRUE)) {
            return Vec::new();
        }
        // All of one length, so that none is a few samples only.
        let (all, most) = (buffer.size() / frame, step / frame);
        let step = all.div_ceil(all.div_ceil(most)) * frame;
        let mut pieces = Vec::new();
        for start in (0..buffer.size()).step_by(step) {
            let end = (start + step).min(buffer.size());
            let (Ok(mut piece), Some(from), Some(to)) =
                (buffer.copy_region(gst::BUFFER_COPY_ALL, start..end), time(start), time(end))
            else {
                return Vec::new();
            };
            let inner = piece.make_mut();
            inner.set_pts(pts + from);
            inner.set_duration(to - from);
            pieces.push(piece);
        }
        pieces
    }
}

/// How late what comes out of `pad` is, where that is live.
fn live_latency(pad: &gst::GhostPad) -> Option<gst::ClockTime> {
    let mut query = gst::query::Latency::new();
    let (live, min, _) = pad.query(&mut query).then(|| query.result())?;
    live.then_some(min)
}

fn running_time(pad: &gst::GhostPad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(buffer.pts())
}
