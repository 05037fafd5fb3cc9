// SPDX-License-Identifier: MPL-2.0
//! The way of the sound through the element: the model that says what is made of it, and the rows that come out.

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst::{ClockTime, FlowError, FlowSuccess};

use super::extractor::Extractor;
use super::graph::{Graph, Listener};
use super::imp::{AudioFeatures, CAT, Loaded, State, Work, latency_of};
use super::timeline::Timeline;
use crate::model::{self, DEFAULT_MODEL, Model};
use crate::runtime::Outcome;

const BYTES_PER_SAMPLE: usize = size_of::<f32>();

impl AudioFeatures {
    /// The model named by this element's property, else the default one.
    fn fallback(&self) -> Result<Arc<Model>, gst::ErrorMessage> {
        if let Some(model) = self.fallback.lock().clone() {
            return Ok(model);
        }
        let name = self.settings.lock().model.clone();
        let model = Model::open(name.as_deref().unwrap_or(DEFAULT_MODEL))?;
        *self.fallback.lock() = Some(model.clone());
        Ok(model)
    }

    /// The model to use, and whether downstream has named it.
    pub(super) fn model(&self) -> Result<(Arc<Model>, bool), gst::ErrorMessage> {
        let Some(answer) = model::ask(&self.srcpad) else {
            // Who named one has been unlinked, for now.
            let known = self.state.lock().work.as_ref().map(|work| work.model.clone());
            return Ok((known.map_or_else(|| self.fallback(), Ok)?, false));
        };
        if self.settings.lock().model.is_some() {
            let own = self.fallback()?;
            if own.folder != answer.folder {
                return Err(gst::error_msg!(
                    gst::ResourceError::Settings,
                    (
                        "audiofeatures has model={}, but lipsyncgen uses {}; name the model on lipsyncgen alone",
                        own.folder.display(),
                        answer.folder.display()
                    )
                ));
            }
        }
        Ok((answer, true))
    }

    /// Opens what is known to be needed, so that what is wrong with it is said before any sound comes.
    pub(super) fn prepare(&self) -> Result<(), gst::ErrorMessage> {
        let is_named = self.settings.lock().model.is_some();
        // A generator downstream has started before this element.
        let model = if is_named { Some(self.fallback()?) } else { model::ask(&self.srcpad) };
        model.map_or(Ok(()), |model| self.listener(&model).map(|_| ()))
    }

    /// The thread that runs the encoder of `model`, where it has one.
    fn listener(&self, model: &Arc<Model>) -> Result<Option<Arc<Listener>>, gst::ErrorMessage> {
        let Some(encoder) = &model.manifest.audiofeatures.encoder else { return Ok(None) };
        let options = self.settings.lock().options.clone();
        if let Some(loaded) = &*self.loaded.lock()
            && loaded.model == *model
            && loaded.options == options
        {
            return Ok(Some(loaded.listener.clone()));
        }
        let name = &*model.manifest.name;
        let progress = |type_, text: String| {
            let message = gst::message::Progress::builder(type_, "lipsync-encoder", &text).src(&*self.obj()).build();
            let _ = self.obj().post_message(message);
        };
        let failed = |error| {
            progress(gst::ProgressType::Error, format!("The encoder of model {name} could not be loaded"));
            error
        };
        progress(gst::ProgressType::Start, format!("Loading the encoder of model {name}"));
        let graph = Graph::open(model, encoder, &options)
            .map_err(|e| failed(gst::error_msg!(gst::LibraryError::Init, ("model \"{name}\": {e}"))))?;
        let listener = Listener::start("audiofeatures-encoder", || move |heard| graph.run(heard)).map_err(|e| {
            failed(gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("no thread for the encoder: {e}")))
        })?;
        progress(gst::ProgressType::Complete, format!("The encoder of model {name} is ready"));
        let listener = Arc::new(listener);
        *self.loaded.lock() = Some(Loaded { model: model.clone(), options, listener: listener.clone() });
        Ok(Some(listener))
    }

    /// Settles on the model for sound of `sample_rate` and says downstream what will come.
    pub(super) fn configure(&self, sample_rate: u32) -> Result<(), gst::ErrorMessage> {
        let (model, confirmed) = self.model()?;
        let recipe = &model.manifest.audiofeatures;
        let (name, expected_rate) = (&*model.manifest.name, recipe.sample_rate());
        if sample_rate != expected_rate {
            return Err(gst::error_msg!(
                gst::CoreError::Negotiation,
                ("model \"{name}\" listens at {expected_rate} Hz, but the sound has {sample_rate} Hz; put \
                     audioconvert ! audioresample before audiofeatures, and if it is there, name the model on \
                     audiofeatures too")
            ));
        }
        if let Some(work) = &mut self.state.lock().work
            && work.recipe() == recipe
            && (recipe.encoder.is_none() || work.model.folder == model.folder)
        {
            work.confirmed = confirmed;
            return Ok(());
        }
        let caps = model.features_caps();
        let accepted = self.srcpad.peer_query_caps(None);
        if !caps.can_intersect(&accepted) {
            return Err(gst::error_msg!(
                gst::CoreError::Negotiation,
                ("audiofeatures makes {caps} (model \"{name}\"), but the next element expects {accepted}; \
                     give both the same model")
            ));
        }
        if let Err(error) = self.drain() {
            gst::debug!(CAT, imp = self, "the last rows of the stretch did not come out: {error}");
        }
        let listener = self.listener(&model)?;
        let latency = {
            let extractor = Extractor::new(recipe);
            let mut state = self.state.lock();
            state.work = Some(Work { model: model.clone(), confirmed, extractor, listener });
            state.reported_latency
        };
        gst::info!(CAT, imp = self, "model {name}, confirmed: {confirmed}, {caps}");
        self.srcpad.push_event(gst::event::Caps::new(&caps));
        if latency.is_some_and(|latency| latency != latency_of(recipe)) {
            let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        }
        Ok(())
    }

    /// Asks again for the model: until downstream has answered, and when something else was linked there.
    fn follow_model(&self) -> Result<(), FlowError> {
        let relinked = self.srcpad.check_reconfigure();
        let sample_rate = match &self.state.lock().work {
            None => return Err(FlowError::NotNegotiated),
            Some(work) if work.confirmed && !relinked => return Ok(()),
            Some(work) => work.recipe().sample_rate(),
        };
        self.configure(sample_rate).map_err(|error| {
            self.post_error_message(error);
            FlowError::NotNegotiated
        })
    }

    /// The segment, the sample rate, and what is valid until an interruption.
    fn present(&self) -> Option<(gst::FormattedSegment<ClockTime>, u32, u64)> {
        let state = self.state.lock();
        Some((state.segment.clone()?, state.work.as_ref()?.recipe().sample_rate(), state.generation))
    }

    pub(super) fn chain(&self, buffer: gst::Buffer) -> Result<FlowSuccess, FlowError> {
        self.follow_model()?;
        let (segment, sample_rate, generation) = self.present().ok_or(FlowError::NotNegotiated)?;
        let channels = self.state.lock().channels;
        let buffer = if channels > 1 { mixed(&buffer, channels).ok_or(FlowError::Error)? } else { buffer };
        // What is in the buffer says how long it is; one whose duration says otherwise cannot be clipped by that.
        let mut buffer = buffer;
        buffer.make_mut().set_duration(None);
        let Some(buffer) =
            gst_audio::audio_buffer_clip(buffer, segment.upcast_ref(), sample_rate, BYTES_PER_SAMPLE as u32)
        else {
            gst::log!(CAT, imp = self, "dropped a buffer outside the segment");
            return Ok(FlowSuccess::Ok);
        };
        if buffer.size() < BYTES_PER_SAMPLE {
            return Ok(FlowSuccess::Ok);
        }
        let map = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ("cannot read the sound's memory"));
            FlowError::Error
        })?;
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        // A second at a time: a long buffer neither holds the lock for long nor fills memory with rows.
        let pieces = map.chunks(sample_rate as usize * BYTES_PER_SAMPLE).map(|bytes| self.samples(bytes));
        let (pts, discont) = self.place(&buffer, discont, &segment, sample_rate);
        self.start(pts, discont, segment.start(), generation)?;
        self.feed(pieces, generation)
    }

    /// Sound as numbers; that some are none is told once.
    fn samples(&self, bytes: &[u8]) -> Vec<f32> {
        let (samples, replaced) = samples(bytes);
        if replaced > 0 && !std::mem::replace(&mut self.state.lock().warned_of_non_numbers, true) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                ("the sound holds NaN or infinite samples, which are taken as 0; look at the element that makes them")
            );
        }
        samples
    }

    /// When the buffer's sound is, and whether it is to be torn from what was before. What is not live is taken at its word.
    fn place(
        &self,
        buffer: &gst::BufferRef,
        discont: bool,
        segment: &gst::FormattedSegment<ClockTime>,
        sample_rate: u32,
    ) -> (Option<ClockTime>, bool) {
        let as_stamped = (buffer.pts(), discont);
        let now = self.obj().current_running_time().filter(|_| self.is_live());
        let now = now.and_then(|now| segment.position_from_running_time(now));
        let (Some(pts), Some(now)) = (buffer.pts(), now) else { return as_stamped };
        let lasts = Timeline::duration((buffer.size() / BYTES_PER_SAMPLE) as u64, sample_rate);
        let placed = {
            let state = &mut *self.state.lock();
            let end = state.work.as_ref().and_then(|work| work.extractor.end());
            state.stamps.place(pts, lasts, end, now)
        };
        if let Some(off) = placed.jumped {
            self.tell_jump(off, segment.to_running_time(now));
        }
        // Sources call every buffer that is out of place a discontinuity.
        (placed.time, discont && placed.time.is_some())
    }

    /// Whether what comes in is live, as far as upstream knows.
    fn is_live(&self) -> bool {
        if let Some(live) = self.state.lock().live {
            return live;
        }
        let mut query = gst::query::Latency::new();
        let live = self.sinkpad.peer_query(&mut query).then(|| query.result().0);
        self.state.lock().live = live;
        live == Some(true)
    }

    fn tell_jump(&self, off: i64, time: Option<ClockTime>) {
        let by = off / 1_000_000;
        gst::warning!(CAT, imp = self, "the sound's timestamps are {by} ms off the clock");
        let structure = gst::Structure::builder("application/x-lipsync-event")
            .field("type", "timestamps")
            .field("by-ms", by)
            .field_if_some("running-time", time)
            .build();
        let _ = self.obj().post_message(gst::message::Element::builder(structure).src(&*self.obj()).build());
    }

    /// Sees to it that sound at `pts` has its stretch: the present one where it goes on, else a new one.
    fn start(
        &self,
        pts: Option<ClockTime>,
        discont: bool,
        segment_start: Option<ClockTime>,
        generation: u64,
    ) -> Result<(), FlowError> {
        let goes_on = |state: &State| state.work.as_ref().is_none_or(|work| work.extractor.continues(pts));
        if !discont && goes_on(&self.state.lock()) {
            return Ok(());
        }
        self.drain()?;
        let anchor = pts.or(segment_start).unwrap_or(ClockTime::ZERO);
        if let State { generation: now, work: Some(work), .. } = &mut *self.state.lock()
            && *now == generation
        {
            work.extractor.begin(anchor);
        }
        gst::debug!(CAT, imp = self, "a stretch of sound starts at {anchor}");
        Ok(())
    }

    fn feed(&self, pieces: impl Iterator<Item = Vec<f32>>, generation: u64) -> Result<FlowSuccess, FlowError> {
        let silence = self.settings.lock().silence();
        for piece in pieces {
            let Some(rows) = self.extract(generation, |extractor| extractor.push(&piece, silence)) else { break };
            self.push(rows, generation)?;
            self.hear(generation)?;
        }
        Ok(FlowSuccess::Ok)
    }

    /// Does something with the stretch, unless it has been interrupted.
    fn extract<T>(&self, generation: u64, work: impl FnOnce(&mut Extractor) -> T) -> Option<T> {
        let mut state = self.state.lock();
        if state.generation != generation {
            return None;
        }
        state.work.as_mut().map(|found| work(&mut found.extractor))
    }

    /// Has the encoder hear whatever windows are complete, and sends its answers.
    fn hear(&self, generation: u64) -> Result<FlowSuccess, FlowError> {
        loop {
            let listener = self.state.lock().work.as_ref().and_then(|work| work.listener.clone());
            let window = self.extract(generation, |extractor| extractor.window()).flatten();
            let (Some(listener), Some(window)) = (listener, window) else { return Ok(FlowSuccess::Ok) };
            let is_old = || self.state.lock().generation != generation;
            let answers = match listener.run(window, None, || self.cancel.is_cancelled() || is_old()) {
                Outcome::Done(Ok(answers), _) => answers,
                Outcome::Done(Err(error), _) | Outcome::Failed(error) => {
                    // No window of this stretch is tried again.
                    self.extract(generation, Extractor::reset);
                    gst::element_imp_error!(self, gst::LibraryError::Failed, ("the encoder of sound failed: {error}"));
                    return Err(FlowError::Error);
                }
                // What was interrupted is gone, and the next sound is welcome.
                Outcome::Aborted | Outcome::Late if is_old() => return Ok(FlowSuccess::Ok),
                Outcome::Aborted | Outcome::Late => return Err(FlowError::Flushing),
            };
            let Some(rows) = self.extract(generation, |extractor| extractor.answer(answers)) else {
                return Ok(FlowSuccess::Ok);
            };
            self.push(rows, generation)?;
        }
    }

    fn push(&self, buffers: Vec<gst::Buffer>, generation: u64) -> Result<FlowSuccess, FlowError> {
        for buffer in buffers {
            if self.state.lock().generation != generation {
                break;
            }
            match self.srcpad.push(buffer) {
                // The picture has ended. The sound has not, and behind a tee somebody else may hear it.
                Ok(_) | Err(FlowError::Eos) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(FlowSuccess::Ok)
    }

    /// Ends the stretch and sends its last rows.
    pub(super) fn drain(&self) -> Result<FlowSuccess, FlowError> {
        let silence = self.settings.lock().silence();
        let generation = self.state.lock().generation;
        let Some(rows) = self.extract(generation, |extractor| extractor.finish(silence)) else {
            return Ok(FlowSuccess::Ok);
        };
        let sent = self.push(rows, generation).and_then(|_| self.hear(generation));
        self.extract(generation, Extractor::reset);
        sent
    }

    /// Drops the stretch, and whatever is on its way out of here; with `flush` the segment too.
    pub(super) fn interrupt(&self, flush: bool) {
        let mut state = self.state.lock();
        state.generation += 1;
        if let Some(work) = &mut state.work {
            work.extractor.reset();
        }
        if flush {
            state.segment = None;
        }
    }

    /// Silence from `pts` to `end`: it gives the rows that buffers of zeros would give. `false` where nothing is known
    /// of the sound yet.
    pub(super) fn gap(&self, pts: ClockTime, end: ClockTime) -> bool {
        let Some((segment, sample_rate, generation)) = self.present() else { return false };
        let Some((Some(start), Some(end))) = segment.clip(pts, end) else { return true };
        let fill = || {
            let mut missing = self.extract(generation, |extractor| extractor.samples_until(end)).unwrap_or(0);
            let pieces = std::iter::from_fn(|| {
                let length = missing.min(u64::from(sample_rate));
                missing -= length;
                (length > 0).then(|| vec![0.0; length as usize])
            });
            self.feed(pieces, generation)
        };
        self.start(Some(start), false, None, generation).and_then(|()| fill()).is_ok()
    }
}

/// The mean of all channels.
fn mixed(buffer: &gst::BufferRef, channels: usize) -> Option<gst::Buffer> {
    let map = buffer.map_readable().ok()?;
    let number = |bytes: &[u8; BYTES_PER_SAMPLE]| f32::from_le_bytes(*bytes);
    let mean = |frame: &[u8]| frame.as_chunks().0.iter().map(number).sum::<f32>() / channels as f32;
    let frames = map.chunks_exact(channels * BYTES_PER_SAMPLE);
    let mut mono = gst::Buffer::from_mut_slice(frames.map(mean).flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
    buffer.copy_into(mono.make_mut(), gst::BUFFER_COPY_METADATA, ..).ok()?;
    Some(mono)
}

/// Sound as finite numbers; whatever is none becomes 0, and is counted.
pub fn samples(bytes: &[u8]) -> (Vec<f32>, usize) {
    let mut replaced = 0;
    let finite = |bytes: &[u8; BYTES_PER_SAMPLE]| {
        let sample = f32::from_le_bytes(*bytes);
        replaced += usize::from(!sample.is_finite());
        if sample.is_finite() { sample } else { 0.0 }
    };
    (bytes.as_chunks().0.iter().map(finite).collect(), replaced)
}
