// SPDX-License-Identifier: MPL-2.0
//! Events and queries.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::LoopMode;
use super::caps::{STILL_RATE, describe, narrow, same_but_for_rate, with_still_rate, without_still_rate};
use super::imp::{AvatarLoop, CAT};
use super::replay::Replay;
use crate::pixels;

impl AvatarLoop {
    pub(super) fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView::*;
        // One pad in, one pad out: what arrives goes on, caps included (Pad::event_default would keep those).
        let forward = |event| self.srcpad.push_event(event);
        if self.mode() == LoopMode::None {
            return self.sink_event_once(event);
        }
        if let Some(clip) = self.clip()
            && let Some(replay) = clip.replay()
            && self.replayed(replay, &event)
        {
            return true;
        }
        match event.view() {
            Caps(caps) => match self.take_caps(caps.caps()) {
                Ok(Some(caps)) => {
                    let event = gst::event::Caps::builder(&caps).seqnum(event.seqnum()).build();
                    forward(event)
                }
                Ok(None) => true,
                Err(text) => {
                    gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
                    false
                }
            },
            Segment(segment) => match self.take_segment(segment.segment()) {
                Ok(Some(segment)) => {
                    let event = gst::event::Segment::builder(&segment).seqnum(event.seqnum()).build();
                    forward(event)
                }
                Ok(None) => true,
                Err(text) => {
                    gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
                    false
                }
            },
            Eos(_) => {
                let _ = self.release();
                self.start_looping() || forward(event)
            }
            StreamStart(_) => {
                // The same start comes again where a pad before this one has been given another offset.
                if self.state.lock().stream.replace(event.seqnum()) != Some(event.seqnum()) {
                    // Another clip takes over.
                    let _ = self.release();
                    self.pause();
                    self.state.lock().reset();
                }
                forward(event)
            }
            // What has its place among the frames.
            Gap(_) | CustomDownstream(_) | CustomDownstreamSticky(_) | SegmentDone(_) => {
                let _ = self.release();
                forward(event)
            }
            FlushStart(_) => {
                let done = forward(event);
                self.pause();
                done
            }
            FlushStop(_) => {
                self.pause();
                self.state.lock().reset();
                forward(event)
            }
            _ => forward(event),
        }
    }

    /// Of a clip that is played once.
    pub(super) fn sink_event_once(&self, event: gst::Event) -> bool {
        use gst::EventView::*;
        match event.view() {
            FlushStop(_) => self.state.lock().preview.flush(),
            // What it says is of no frame.
            Tag(_) => {}
            _ if event.is_serialized() => {
                let _ = self.release();
            }
            _ => {}
        }
        self.srcpad.push_event(event)
    }

    /// Waits until the task has come back, which may wait for frames itself.
    pub(super) fn pause(&self) {
        self.state.lock().stop();
        let _ = self.srcpad.pause_task();
    }

    /// What arrives with frames that are decoded again stays here. `false`: it has nothing to do with them.
    pub(super) fn replayed(&self, replay: &Replay<gst::Buffer>, event: &gst::Event) -> bool {
        use gst::EventView::*;
        let own = *self.sought.lock() == Some(event.seqnum());
        match event.view() {
            FlushStart(_) if own => replay.flush(true),
            FlushStop(_) if own => {
                replay.flush(false);
                replay.begin();
            }
            FlushStart(_) | FlushStop(_) => return false,
            StreamStart(start) if !own && self.state.lock().stream != Some(start.seqnum()) => return false,
            Segment(segment) => {
                if let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() {
                    self.state.lock().input = Some(segment.clone());
                    replay.begin();
                }
            }
            Eos(_) => replay.end(),
            // A size that changes is an error here, too.
            Caps(_) => return false,
            _ => return event.is_serialized(),
        }
        true
    }

    /// The caps to send on; `None` where they are those that hold already.
    pub(super) fn take_caps(&self, caps: &gst::CapsRef) -> Result<Option<gst::Caps>, String> {
        let mut caps = caps.to_owned();
        let rate = caps.structure(0).and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        let still = rate.is_none_or(|rate| rate.numer() <= 0);
        if still {
            caps.make_mut().set("framerate", STILL_RATE);
        }
        let info = gst_video::VideoInfo::from_caps(&caps)
            .map_err(|_| format!("The picture's format is not one that can be stored: {caps}"))?;
        let fps = info.fps();
        let nominal =
            gst::ClockTime::SECOND.mul_div_round(fps.denom() as u64, fps.numer() as u64).map_or(0, |t| t.nseconds());

        let mut state = self.state.lock();
        if state.recording() {
            return match &state.info {
                // Frames are shown for as long as their times say, whatever the rate in the caps.
                Some((before, _)) if same_but_for_rate(before, &info) => {
                    gst::debug!(CAT, imp = self, "from here on {}", describe(&info));
                    Ok(None)
                }
                before => Err(format!(
                    "The picture changes from {} to {} within the clip; only a clip of one size and format can be looped. \
                     Put videoconvert, videoscale and a caps filter before avatarloop, or use mode=none",
                    before.as_ref().map_or_else(String::new, |(info, _)| describe(info)),
                    describe(&info)
                )),
            };
        }
        state.info = Some((info, nominal));
        Ok(Some(caps))
    }

    /// The segment to send on: one for all, open at its end. `None` where it was sent already.
    pub(super) fn take_segment(
        &self,
        segment: &gst::Segment,
    ) -> Result<Option<gst::FormattedSegment<gst::ClockTime>>, String> {
        let Some(segment) = segment.downcast_ref::<gst::ClockTime>() else {
            return Err(format!("The picture's segment is in {:?}, only one in time can be looped", segment.format()));
        };
        if segment.rate() <= 0.0 {
            return Err("A clip that is played backwards cannot be looped; mode=pingpong goes back by itself".into());
        }
        let mut state = self.state.lock();
        state.input = Some(segment.clone());
        if state.output.is_some() {
            return Ok(None);
        }
        let mut output = segment.clone();
        output.set_stop(gst::ClockTime::NONE);
        output.set_duration(gst::ClockTime::NONE);
        state.output = Some(output.clone());
        Ok(Some(output))
    }

    pub(super) fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Caps(query) = query.view_mut() {
            // Without the filter: it holds upstream's rate, which need not be the one that is sent on.
            let mut caps = self.srcpad.peer_query_caps(None);
            if self.mode() != LoopMode::None {
                caps = with_still_rate(&caps);
            }
            query.set_result(&narrow(&caps, &self.sinkpad, query.filter_owned().as_ref()));
            return true;
        }
        // Those who decode again ask while the task pushes.
        if query.type_() == gst::QueryType::Allocation && self.clip().is_some() {
            return false;
        }
        let answered = gst::Pad::query_default(&self.sinkpad, Some(&*self.obj()), query);
        if let gst::QueryViewMut::Allocation(query) = query.view_mut() {
            // What is repeated is what the buffers hold, and no more.
            pixels::want_whole_pictures(query);
        }
        answered
    }

    pub(super) fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        let endless = self.mode() != LoopMode::None;
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let mut caps = self.sinkpad.peer_query_caps(None);
                if endless {
                    caps = without_still_rate(caps);
                }
                query.set_result(&narrow(&caps, &self.srcpad, query.filter_owned().as_ref()));
                true
            }
            gst::QueryViewMut::Seeking(query) if endless => {
                let format = query.format();
                query.set(
                    false,
                    gst::GenericFormattedValue::none_for_format(format),
                    gst::GenericFormattedValue::none_for_format(format),
                );
                true
            }
            gst::QueryViewMut::Duration(_) if endless => false,
            gst::QueryViewMut::Position(query) if endless && query.format() == gst::Format::Time => {
                let position = {
                    let state = self.state.lock();
                    let now = state.clip.as_ref().map(|clip| clip.order.at(state.next.saturating_sub(1)).pts);
                    now.and_then(|pts| state.output.as_ref()?.to_stream_time(gst::ClockTime::from_nseconds(pts)))
                };
                match position {
                    Some(position) => {
                        query.set(position);
                        true
                    }
                    None => gst::Pad::query_default(&self.srcpad, Some(&*self.obj()), query.query_mut()),
                }
            }
            _ => gst::Pad::query_default(&self.srcpad, Some(&*self.obj()), query),
        }
    }

    pub(super) fn src_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Seek && self.mode() != LoopMode::None {
            gst::debug!(CAT, imp = self, "an endless picture cannot be sought in");
            return false;
        }
        // Its times are the endless picture's: to who decodes the clip again every frame would be late.
        if event.type_() == gst::EventType::Qos && self.mode() != LoopMode::None {
            return true;
        }
        gst::Pad::event_default(&self.srcpad, Some(&*self.obj()), event)
    }
}
