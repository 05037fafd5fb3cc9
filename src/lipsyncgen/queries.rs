// SPDX-License-Identifier: MPL-2.0
//! What the generator answers when it is asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use parking_lot::Mutex;

use super::CAT;
use super::imp::LipsyncGen;
use crate::face_meta::FaceMeta;
use crate::model;
use crate::{moment, preview};

/// How often is looked whether a flush has come.
const LOOK: Duration = Duration::from_millis(10);

/// The serialized queries whose askers wait. The aggregator leaves them to its own thread, and a flush sends the asker away, and
/// its query with it, while it is being answered: one that is not here any more must not be touched.
#[derive(Default)]
pub struct Asked {
    waiting: Mutex<Vec<Address>>,
    /// Another thread asks downstream.
    asking: Arc<AtomicBool>,
}

/// Of a query; only ever compared.
type Address = usize;

/// Until this is dropped, the query is there.
pub struct Asks<'a> {
    asked: &'a Asked,
    address: Address,
}

fn address(query: &gst::QueryRef) -> Address {
    std::ptr::from_ref(query).addr()
}

impl Asked {
    pub fn add(&self, query: &gst::QueryRef) -> Asks<'_> {
        let address = address(query);
        self.waiting.lock().push(address);
        Asks { asked: self, address }
    }

    /// Does something with `query` if it is still there; the asker stays that long.
    fn with<T>(&self, query: &mut gst::QueryRef, act: impl FnOnce(&mut gst::QueryRef) -> T) -> Option<T> {
        let asked = self.waiting.lock();
        asked.contains(&address(query)).then(|| act(query))
    }
}

impl Drop for Asks<'_> {
    fn drop(&mut self) {
        self.asked.waiting.lock().retain(|address| *address != self.address);
    }
}

impl LipsyncGen {
    /// Answers at once, on the thread that asks.
    pub(super) fn answer(&self, pad: &gst_base::AggregatorPad, query: &mut gst::QueryRef) -> bool {
        if model::answer(query, self.model()) {
            return true;
        }
        if let Some((frame, _)) = preview::frame(query) {
            return *pad == self.video && self.preview(&frame);
        }
        let template = pad.pad_template_caps();
        match query.view_mut() {
            gst::QueryViewMut::Caps(caps) if *pad == self.video => {
                // Unlike a plain proxy this never answers more than the template, so that sound is not linked here.
                let filter = caps.filter_owned().map_or_else(|| template.clone(), |f| f.intersect(&template));
                let downstream = self.obj().src_pad().peer_query_caps(Some(&filter));
                caps.set_result(&downstream.intersect(&template));
                true
            }
            gst::QueryViewMut::Caps(caps) => {
                let own = self.model().map_or(template, |model| model.features_caps());
                let result = caps.filter_owned().map_or_else(|| own.clone(), |filter| filter.intersect(&own));
                caps.set_result(&result);
                true
            }
            _ => self.parent_sink_query(pad, query),
        }
    }

    /// A frame of a clip that is going to be played. `false`: the model remembers no mouths, or a live sound does not wait.
    fn preview(&self, frame: &gst::BufferRef) -> bool {
        let features = self.features.lock().clone();
        if !self.loaded().is_some_and(|loaded| loaded.keeps_memory) || features.is_some_and(|pad| is_live(&pad)) {
            return false;
        }
        self.watchdog.alive();
        self.state.lock().memory.preview(moment::of(frame), &FaceMeta::faces(frame));
        true
    }

    /// Answers what comes in the order of the frames, on the thread that sends them: as downstream does.
    pub(super) fn answer_serialized(&self, query: &mut gst::QueryRef) -> bool {
        let Some(own) = self.asked.with(query, |query| query.to_owned()) else { return false };
        let Some((mut answered, mut own)) = self.ask_downstream(own) else { return false };
        let Some(own) = own.get_mut() else { return false };
        if let gst::QueryViewMut::Allocation(own) = own.view_mut() {
            // Where downstream has nothing to say, the frames that wait here still count.
            self.add_waiting(own);
            answered = true;
        }
        let tell = |query: &mut gst::QueryRef| {
            for (name, value) in own.structure().into_iter().flat_map(|own| own.iter()) {
                query.structure_mut().set_value(name, value.clone());
            }
        };
        answered && self.asked.with(query, tell).is_some()
    }

    /// What downstream answers; `None` where a flush of the picture or the end came first. In a paused pipeline the question waits in a
    /// full queue, and since GStreamer 1.26 a flush waits for its answer: so another thread asks, and is left behind if need be.
    fn ask_downstream(&self, mut query: gst::Query) -> Option<(bool, gst::Query)> {
        if self.asked.asking.swap(true, Ordering::Relaxed) {
            // One that was left behind still waits; another would wait behind it.
            return Some((false, query));
        }
        let asking = self.asked.asking.clone();
        let pad = self.obj().src_pad().clone();
        let (answer, answers) = mpsc::sync_channel(1);
        let asks = move || {
            let answered = query.get_mut().is_some_and(|query| pad.peer_query(query));
            asking.store(false, Ordering::Relaxed);
            // Nobody may wait any more.
            let _ = answer.send((answered, query));
        };
        if thread::Builder::new().name("lipsyncgen-query".into()).spawn(asks).is_err() {
            self.asked.asking.store(false, Ordering::Relaxed);
            return None;
        }
        loop {
            match answers.recv_timeout(LOOK) {
                Ok(answer) => return Some(answer),
                Err(mpsc::RecvTimeoutError::Timeout) if !self.cancel.is_cancelled() => {}
                Err(_) => {
                    gst::debug!(CAT, imp = self, "flushed before downstream has answered a query for memory");
                    return None;
                }
            }
        }
    }

    /// Asks for as many more buffers as may wait here.
    fn add_waiting(&self, query: &mut gst::query::Allocation) {
        let Some(loaded) = self.loaded() else { return };
        let settings = self.settings.lock().clone();
        let (_, capacity) = self.batch_and_capacity(&settings, &loaded, false);
        let pools: Vec<_> = query.allocation_pools().collect();
        if pools.is_empty() {
            let info = query.get().0.and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
            if let Some(info) = info {
                query.add_allocation_pool(None::<&gst::BufferPool>, info.size() as u32, capacity as u32 + 1, 0);
            }
        }
        for (i, (pool, size, min, max)) in pools.into_iter().enumerate() {
            let more = capacity as u32;
            let max = if max == 0 { 0 } else { max + more };
            query.set_nth_allocation_pool(i as u32, pool.as_ref(), size, min + more, max);
        }
    }

    /// Answers what is asked from downstream, where the default would not do.
    pub(super) fn answer_downstream(&self, query: &mut gst::QueryRef) -> bool {
        if model::answer(query, self.model()) {
            return true;
        }
        match query.view_mut() {
            // The picture that leaves is the picture that came.
            gst::QueryViewMut::Position(_) | gst::QueryViewMut::Duration(_) | gst::QueryViewMut::Seeking(_) => {
                self.video.peer_query(query)
            }
            gst::QueryViewMut::Caps(caps) => {
                let template = self.obj().src_pad().pad_template_caps();
                let filter = caps.filter_owned().map_or_else(|| template.clone(), |f| f.intersect(&template));
                let upstream = self.video.peer_query_caps(Some(&filter));
                caps.set_result(&upstream.intersect(&template));
                true
            }
            _ => false,
        }
    }
}

/// Whether what comes before `pad` is made while it is played.
fn is_live(pad: &gst_base::AggregatorPad) -> bool {
    let mut query = gst::query::Latency::new();
    pad.peer_query(&mut query) && query.result().0
}

/// Whether what comes before `pad` says that it cannot be sought in.
pub fn refuses_seeks(pad: &gst::Pad) -> bool {
    let mut query = gst::query::Seeking::new(gst::Format::Time);
    pad.peer_query(&mut query) && !query.result().0
}
