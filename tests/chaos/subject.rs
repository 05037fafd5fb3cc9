// SPDX-License-Identifier: MPL-2.0
//! A pipeline under test: what goes through it, and what it says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use gst::prelude::*;
use parking_lot::Mutex;

use crate::ledger::Ledger;
use crate::plan::Plan;

/// What the pipeline's bus said.
#[derive(Default)]
pub struct Said {
    pub errors: Mutex<Vec<String>>,
    pub stalled: Mutex<Option<String>>,
    pub ended: AtomicBool,
    latency: AtomicBool,
}

pub struct Subject {
    pub plan: Plan,
    pub pipeline: gst::Pipeline,
    pub crop: gst::Element,
    pub generator: gst::Element,
    pub paste: gst::Element,
    pub features: gst::Element,
    pub picture: Ledger,
    /// Where a `lipsyncbin` passes it on.
    pub sound: Option<Ledger>,
    pub said: Arc<Said>,
    /// What was done to it explains an error.
    pub provoked: bool,
    /// It was sought to where it ends soon.
    pub sought_end: bool,
    pub sound_changed: bool,
    pub failed_links: Arc<Mutex<Vec<String>>>,
    /// Alive as long as that pad waits to be linked anew.
    pub relinks: [Weak<AtomicBool>; 4],
    /// Held by a seek and while something is unlinked: a flush that comes where a link is missing is lost, and whoever was to be
    /// flushed waits for it.
    pub whole: Arc<Mutex<()>>,
    /// Behind the sources of the picture and of the sound.
    pub switches: [Arc<Mutex<Switch>>; 2],
}

/// What becomes of the next buffers of a source.
#[derive(Default)]
pub struct Switch {
    /// So many are GAP events instead.
    pub gaps: u32,
    /// What the caps filter lets through from now on. Changed here, on the streaming thread: else a source may settle on what
    /// the filter has just ceased to take.
    pub caps: Option<gst::Caps>,
    /// The stream ends, until it is flushed or started anew.
    pub ends: bool,
}

impl Subject {
    pub fn new(plan: Plan) -> Result<Self, String> {
        let pipeline = gst::parse::launch(&plan.text).map_err(|error| error.to_string())?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "not a pipeline")?;
        let inside = pipeline.by_name("b").and_then(|bin| bin.downcast::<gst::Bin>().ok());
        let find = |name: &str| {
            let inside = inside.as_ref().and_then(|bin| bin.by_name(name));
            inside.or_else(|| pipeline.by_name(name)).ok_or_else(|| format!("no element {name}"))
        };
        let pad = |element: &gst::Element, name: &str| element.static_pad(name).ok_or_else(|| format!("no pad {name}"));
        let (crop, generator, paste, features) = (find("crop")?, find("generator")?, find("paste")?, find("features")?);
        let picture = Ledger::new("picture", &pad(&crop, "sink")?, &pad(&paste, "src")?, !plan.ends_with_sound);
        let sound = match &inside {
            Some(bin) if pad(bin.upcast_ref(), "audio_src")?.is_linked() => Some(Ledger::new(
                "sound",
                &pad(bin.upcast_ref(), "audio_sink")?,
                &pad(bin.upcast_ref(), "audio_src")?,
                true,
            )),
            _ => None,
        };
        let switches: [Arc<Mutex<Switch>>; 2] = Default::default();
        for (name, switch) in ["picture-caps", "sound-caps"].into_iter().zip(&switches) {
            put_behind(&pad(&find(name)?, "src")?, switch);
        }
        let said = Arc::new(Said::default());
        listen(&pipeline, &said);
        Ok(Self {
            plan,
            pipeline,
            crop,
            generator,
            paste,
            features,
            picture,
            sound,
            said,
            provoked: false,
            failed_links: Arc::default(),
            relinks: Default::default(),
            whole: Arc::default(),
            sought_end: false,
            sound_changed: false,
            switches,
        })
    }

    /// All four, and the bin where there is one.
    pub fn elements(&self) -> Vec<gst::Element> {
        let parts = [&self.crop, &self.generator, &self.paste, &self.features].map(Clone::clone);
        parts.into_iter().chain(self.pipeline.by_name("b")).collect()
    }

    pub fn has_ended(&self) -> bool {
        self.sought_end || self.switches.iter().any(|switch| switch.lock().ends)
    }

    pub fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        [&self.picture].into_iter().chain(&self.sound)
    }

    /// Lets the sinks wait as long as is needed now.
    pub fn tell_latency(&self) {
        if self.said.latency.swap(false, Ordering::Relaxed) {
            let _ = self.pipeline.recalculate_latency();
        }
    }

    /// Goes to `state`; below PAUSED everything inside is lost, and what was provoked is over.
    pub fn set_state(&mut self, state: gst::State) {
        let down = state <= gst::State::Ready;
        if down {
            self.ledgers().for_each(Ledger::open);
        }
        let before = self.said.errors.lock().len();
        let result = self.pipeline.set_state(state);
        if down {
            // Some of GStreamer's elements, jpegdec for one, take it for an error that they are stopped while they negotiate.
            let own = self.elements().iter().map(|element| element.name().to_string()).collect::<Vec<_>>();
            let mut errors = self.said.errors.lock();
            let during = errors.split_off(before);
            errors.extend(
                during.into_iter().filter(|error| own.iter().any(|name| error.starts_with(&format!("{name}:")))),
            );
        }
        if result.is_err() {
            // Elements keep the state they have got to.
            self.provoked = true;
        }
        if down && result.is_ok() {
            self.ledgers().for_each(Ledger::forget);
            self.ledgers().for_each(Ledger::close);
            self.sought_end = false;
            self.switches.iter().for_each(|switch| *switch.lock() = Switch::default());
            self.said.ended.store(false, Ordering::Relaxed);
            *self.said.stalled.lock() = None;
        }
    }
}

fn put_behind(pad: &gst::Pad, switch: &Arc<Mutex<Switch>>) {
    let switch = switch.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(kinds, move |pad, info| {
        let mut set = switch.lock();
        let Some(buffer) = info.buffer() else {
            *set = Switch::default();
            return gst::PadProbeReturn::Ok;
        };
        if set.ends {
            // The source sends EOS by itself then.
            drop(set);
            info.data = None;
            info.flow_res = Err(gst::FlowError::Eos);
            return gst::PadProbeReturn::Handled;
        }
        let pts = buffer.pts();
        if let Some((caps, filter)) = set.caps.take().zip(pad.parent_element()) {
            drop(set);
            filter.set_property("caps", caps);
            set = switch.lock();
        }
        let (1.., Some(pts)) = (set.gaps, pts) else { return gst::PadProbeReturn::Ok };
        set.gaps -= 1;
        let gap = gst::event::Gap::builder(pts).duration(info.buffer().and_then(|buffer| buffer.duration())).build();
        drop(set);
        pad.push_event(gap);
        gst::PadProbeReturn::Drop
    });
}

fn listen(pipeline: &gst::Pipeline, said: &Arc<Said>) {
    let said = said.clone();
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => {
                let from = error.src().map_or_else(String::new, |source| source.name().into());
                said.errors.lock().push(format!("{from}: {} ({})", error.error(), error.debug().unwrap_or_default()));
            }
            gst::MessageView::Element(element) => {
                let told = element.structure();
                match told.and_then(|told| told.get::<&str>("type").ok()) {
                    Some("stalled") => *said.stalled.lock() = told.and_then(|told| told.get("text").ok()),
                    Some("recovered") => *said.stalled.lock() = None,
                    _ => {}
                }
            }
            gst::MessageView::Eos(_) => said.ended.store(true, Ordering::Relaxed),
            gst::MessageView::Latency(_) => said.latency.store(true, Ordering::Relaxed),
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}
