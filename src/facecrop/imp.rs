// SPDX-License-Identifier: MPL-2.0
/**
 * SECTION:element-facecrop
 * @see_also: lipsyncgen, facepaste
 *
 * Finds the faces in each video frame, follows them from frame to frame and attaches to the buffer, for each face, where it
 * is and the crop that the lip-sync model needs. The frame's pixels stay as they are.
 *
 * |[
 * gst-launch-1.0 filesrc location=talk.mp4 ! decodebin ! videoconvert ! facecrop ! lipsyncgen name=g ! facepaste !
 *     videoconvert ! autovideosink
 * ]| The model is the one that lipsyncgen uses.
 *
 * When a face comes or goes, the element posts an element message `application/x-lipsync-event` with the fields `type`
 * (`face-found`, `face-lost`), `track` (a number that stays the same as long as the face is followed) and `running-time`. Where no
 * face could be given a mouth for two seconds there is one of `type` `no-face`, and again whenever that has lasted twice as long, at
 * least once a minute: `for-ms`, the `reason` (`none found`, `too small`, `turned away`, `uncertain`), and the `width` in pixels of
 * the widest face that was found.
 */
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use parking_lot::Mutex;

use super::CAT;
use super::FaceSelect;
use super::absence::{Absence, Unused};
use super::analysis::{Analysis, Config};
use super::detector::SEETA;
use super::region;
use super::square::Square;
use super::tracker::Event;

use crate::face_meta::{Face, FaceMeta};
use crate::geometry::Rect;
use crate::model::{self, DEFAULT_MODEL, Model};
use crate::moment::{self, Moment};
use crate::pixels;
use crate::preview;
use crate::properties::warn_if_late;
use crate::runtime::Cancel;

const DEFAULT_DETECT_INTERVAL: u32 = 0;
const DEFAULT_MIN_FACE_SIZE: u32 = 40;
const DEFAULT_SMOOTHING: f32 = 0.5;

#[derive(Clone, Debug)]
struct Settings {
    model: Option<String>,
    detector: String,
    detect_interval: u32,
    face_select: FaceSelect,
    min_face_size: u32,
    smoothing: f32,
    region: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            detector: SEETA.into(),
            detect_interval: DEFAULT_DETECT_INTERVAL,
            face_select: FaceSelect::default(),
            min_face_size: DEFAULT_MIN_FACE_SIZE,
            smoothing: DEFAULT_SMOOTHING,
            region: String::new(),
        }
    }
}

impl Settings {
    fn config(&self) -> Result<Config, String> {
        Ok(Config {
            detect_interval: self.detect_interval.into(),
            select: self.face_select,
            min_face_size: self.min_face_size,
            smoothing: self.smoothing,
            region: region::parse(&self.region)?,
        })
    }
}

/// The model and where it comes from.
#[derive(Clone, Default)]
struct ModelChoice {
    /// Of the property `model`.
    own: Option<Arc<Model>>,
    /// Of the generator downstream.
    answered: Option<Arc<Model>>,
    /// The default, where nobody named one.
    fallback: Option<Arc<Model>>,
}

#[derive(Default)]
struct State {
    info: Option<gst_video::VideoInfo>,
    /// Where its pixels are not square.
    square: Option<Arc<Square>>,
    last_time: Option<gst::ClockTime>,
    absence: Absence,
    /// The picture of the frames that were looked at before they are played, and when the last of them is.
    looked: Option<(gst_video::VideoInfo, Option<gst::ClockTime>)>,
    /// Faces that were said to be there.
    told: BTreeSet<u32>,
    /// A region that lies outside the picture, and has been told.
    outside: Option<Rect>,
}

/// Locks are taken one at a time, and none is held across a query, a message or a push.
#[derive(Default)]
pub struct FaceCrop {
    settings: Mutex<Settings>,
    model: Mutex<ModelChoice>,
    state: Mutex<State>,
    /// From READY on.
    analysis: Mutex<Option<Analysis>>,
    /// A flush or a state change waits for the streaming thread.
    cancel: Cancel,
}

impl FaceCrop {
    /// NULL→READY: opens everything whose absence the user should hear of at once.
    fn open(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings.lock().clone();
        let wrong = |e: String| gst::error_msg!(gst::LibraryError::Settings, ("{e}"));
        settings.config().map_err(wrong)?;
        let own = settings.model.as_deref().map(Model::open).transpose()?;
        let mut analysis = Analysis::open(&settings.detector, &self.cancel)
            .map_err(|e| gst::error_msg!(gst::ResourceError::NotFound, ("{e}")))?;
        if let Some(model) = &own {
            analysis.prepare(model).map_err(wrong)?;
        }
        self.model.lock().own = own;
        *self.analysis.lock() = Some(analysis);
        Ok(())
    }

    /// The model for the next frame: the generator's, else the own one, else the default.
    fn model(&self) -> Result<Arc<Model>, gst::ErrorMessage> {
        let mut choice = self.model.lock().clone();
        if let Some(model) = choice.answered {
            return Ok(model);
        }
        choice.answered = model::ask(&self.obj().src_pad().clone());
        let model = match (&choice.answered, &choice.own) {
            (Some(answered), Some(own)) if answered != own => {
                return Err(gst::error_msg!(
                    gst::LibraryError::Settings,
                    (
                        "model=\"{}\" is set here, but the generator downstream uses \"{}\"; set the model on the generator only",
                        own.folder.display(),
                        answered.folder.display()
                    )
                ));
            }
            (Some(model), _) | (None, Some(model)) => model.clone(),
            (None, None) => match &choice.fallback {
                Some(model) => model.clone(),
                None => {
                    gst::info!(CAT, imp = self, "no generator answered, using the default model");
                    choice.fallback.insert(Model::open(DEFAULT_MODEL)?).clone()
                }
            },
        };
        *self.model.lock() = choice;
        Ok(model)
    }

    /// Time since the last frame; 0 at the first one and where time did not go on.
    fn time_step(&self, buffer: &gst::BufferRef) -> (Option<gst::ClockTime>, Duration) {
        let segment = self.obj().segment();
        let time = segment.downcast_ref::<gst::ClockTime>().and_then(|segment| segment.to_running_time(buffer.pts()));
        let mut state = self.state.lock();
        let frame = state.info.as_ref().and_then(frame_duration);
        let step = match (time, state.last_time) {
            (Some(now), Some(last)) => now.saturating_sub(last).into(),
            (Some(_), None) => Duration::ZERO,
            // Without timestamps the frame rate is all there is.
            (None, _) => frame.unwrap_or_default(),
        };
        state.last_time = time.or(state.last_time);
        (time, step)
    }

    fn post(&self, event: Event, time: Option<gst::ClockTime>) {
        let news = {
            let mut state = self.state.lock();
            match event {
                Event::Found(track) => state.told.insert(track),
                // Of one that was seen in a preview alone, nobody knows.
                Event::Lost(track) => state.told.remove(&track),
            }
        };
        if !news {
            return;
        }
        let (kind, track) = match event {
            Event::Found(track) => ("face-found", track),
            Event::Lost(track) => ("face-lost", track),
        };
        let structure = gst::Structure::builder("application/x-lipsync-event")
            .field("type", kind)
            .field("track", track)
            .field_if_some("running-time", time)
            .build();
        let message = gst::message::Element::builder(structure).src(&*self.obj()).build();
        // Nobody listens where there is no bus.
        let _ = self.obj().post_message(message);
    }

    /// Nobody can speak, and has not been able to for so long.
    fn post_absence(&self, lasts: Duration, unused: Option<Unused>, time: Option<gst::ClockTime>) {
        let structure = gst::Structure::builder("application/x-lipsync-event")
            .field("type", "no-face")
            .field("for-ms", lasts.as_millis() as u64)
            .field("reason", unused.map_or("none found", |unused| unused.reason.as_str()))
            .field_if_some("width", unused.map(|unused| unused.width.round() as u32))
            .field_if_some("running-time", time)
            .build();
        let _ = self.obj().post_message(gst::message::Element::builder(structure).src(&*self.obj()).build());
    }

    /// Says once where the region that was set shows nothing of the picture.
    fn check_region(&self, region: Option<Rect>, info: &gst_video::VideoInfo) {
        let picture = Rect::new(0.0, 0.0, info.width() as f32, info.height() as f32);
        let outside = region.filter(|region| region.iou(&picture) <= 0.0);
        let before = std::mem::replace(&mut self.state.lock().outside, outside);
        if outside.is_some() && outside != before {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                (
                    "region lies outside the picture, which is {} x {} pixels: nobody is found there",
                    info.width(),
                    info.height()
                )
            );
        }
    }

    /// Looks at a frame before it is played, and shows it with its faces to the generator. `false`: nobody wants to see more.
    fn preview(&self, frame: &gst::Buffer, caps: &gst::Caps) -> bool {
        self.try_preview(frame, caps).is_some_and(|frame| preview::show(&self.obj().src_pad().clone(), &frame, caps))
    }

    /// The frame with its faces. What is wrong with one is said when it is played.
    fn try_preview(&self, buffer: &gst::Buffer, caps: &gst::Caps) -> Option<gst::Buffer> {
        let info = gst_video::VideoInfo::from_caps(caps).ok()?;
        let square = Square::of(&info).ok()?;
        let moment = moment::of(buffer)?;
        let config = self.settings.lock().config().ok()?;
        let model = self.model().ok()?;
        let last = self.state.lock().looked.take().and_then(|(_, last)| last);
        let step = match (buffer.pts(), last) {
            (Some(now), Some(last)) => now.saturating_sub(last).into(),
            (Some(_), None) => Duration::ZERO,
            (None, _) => frame_duration(&info).unwrap_or_default(),
        };
        let faces = {
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
            let mut analysis = self.analysis.lock();
            let analysis = analysis.as_mut()?;
            let faces = find(analysis, &frame, square.as_ref(), Some(moment), step, &config, &model).ok()?;
            analysis.tell_later(moment);
            faces
        };
        self.state.lock().looked = Some((info, buffer.pts()));
        let mut seen = buffer.copy();
        for face in faces {
            FaceMeta::add(seen.make_mut(), Arc::new(face));
        }
        Some(seen)
    }

    fn fail(&self, error: gst::ErrorMessage) -> gst::FlowError {
        self.post_error_message(error);
        gst::FlowError::Error
    }

    fn reset(&self) {
        self.state.lock().last_time = None;
        if let Some(analysis) = self.analysis.lock().as_mut() {
            analysis.reset();
        }
    }
}

/// What its caps say.
fn frame_duration(info: &gst_video::VideoInfo) -> Option<Duration> {
    let fps = Some(info.fps()).filter(|fps| fps.numer() > 0 && fps.denom() > 0)?;
    Some(Duration::from_secs_f64(f64::from(fps.denom()) / f64::from(fps.numer())))
}

/// The faces of a frame, whose pixels `square` makes square. The error is for the user.
fn find(
    analysis: &mut Analysis,
    frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
    square: Option<&Square>,
    moment: Option<Moment>,
    step: Duration,
    config: &Config,
    model: &Arc<Model>,
) -> Result<Vec<Face>, String> {
    let Some(square) = square else { return analysis.process(frame, moment, step, config, model) };
    let copy = square.copy(frame).map_err(|e| e.to_string())?;
    let faces = analysis.process(&copy.as_video_frame_ref(), moment, step, &square.config(config), model)?;
    Ok(faces.iter().map(|face| square.back(face)).collect())
}

/// The properties, made anew: a class owns those it is given, and lipsyncbin has them too.
pub(crate) fn properties() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb(
                "Name or folder of the lip-sync model that the crops are for. Needed only where no lipsyncgen follows, \
                 which is asked otherwise",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("detector")
            .nick("Detector")
            .blurb(
                "What finds new faces: seeta, or the name or path of a folder with a detector.toml, a landmarks.toml (what \
                 marks their points; else the model says, else it is face_landmark_68) or both",
            )
            .default_value(SEETA)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("detect-interval")
            .nick("Detection interval")
            .blurb("Look for faces in every so many-th frame; in between they are followed. 0 = as often as needed")
            .default_value(DEFAULT_DETECT_INTERVAL)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder::<FaceSelect>("face-select")
            .nick("Choice of faces")
            .blurb("Which of several faces speaks")
            .default_value(FaceSelect::default())
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("min-face-size")
            .nick("Smallest face")
            .blurb("Width in pixels of the frame below which a face is left as it is")
            .minimum(1)
            .maximum(65_535)
            .default_value(DEFAULT_MIN_FACE_SIZE)
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("smoothing")
            .nick("Smoothing")
            .blurb("How firmly a face that hardly moves is held in place: 0 = not at all, 1 = most. Motion is never held back")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(DEFAULT_SMOOTHING)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("region")
            .nick("Region")
            .blurb("Where the face is, as x,y,w,h in pixels, around the face from the brows to the chin; nothing is detected then")
            .default_value("")
            .mutable_playing()
            .build(),
    ]
}

#[glib::object_subclass]
impl ObjectSubclass for FaceCrop {
    const NAME: &'static str = "GstLipsyncFaceCrop";
    type Type = super::FaceCrop;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for FaceCrop {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        warn_if_late(&*self.obj(), pspec);
        let text = || value.get::<Option<String>>().expect("type checked upstream");
        if pspec.name() == "region"
            && self.obj().current_state() > gst::State::Null
            && let Err(wrong) = region::parse(&text().unwrap_or_default())
        {
            // Before the start it is an error. A stream that runs does not end for it.
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{wrong}; the region stays as it was"));
            return;
        }
        let mut settings = self.settings.lock();
        match pspec.name() {
            "model" => settings.model = text().filter(|m| !m.is_empty()),
            "detector" => settings.detector = text().filter(|d| !d.is_empty()).unwrap_or_else(|| SEETA.into()),
            "detect-interval" => settings.detect_interval = value.get().expect("type checked upstream"),
            "face-select" => settings.face_select = value.get().expect("type checked upstream"),
            "min-face-size" => settings.min_face_size = value.get().expect("type checked upstream"),
            "smoothing" => settings.smoothing = value.get().expect("type checked upstream"),
            "region" => settings.region = text().unwrap_or_default(),
            // GObject sets only what `properties` lists.
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock();
        match pspec.name() {
            "model" => settings.model.to_value(),
            "detector" => settings.detector.to_value(),
            "detect-interval" => settings.detect_interval.to_value(),
            "face-select" => settings.face_select.to_value(),
            "min-face-size" => settings.min_face_size.to_value(),
            "smoothing" => settings.smoothing.to_value(),
            "region" => settings.region.to_value(),
            // GObject asks only for what `properties` lists.
            _ => pspec.default_value().clone(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        // A frame that comes as a GAP leaves as one: it is not changed here.
        self.obj().set_gap_aware(true);
    }
}

impl GstObjectImpl for FaceCrop {}

impl ElementImpl for FaceCrop {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Face cropper",
                "Filter/Analyzer/Video",
                "Finds and follows faces, and cuts out what a lip-sync model needs",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = pixels::caps();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("the name and the caps are valid")
                })
                .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.open().map_err(|error| {
                self.post_error_message(error);
                gst::StateChangeError
            })?,
            gst::StateChange::PausedToReady => self.cancel.stop(),
            _ => {}
        }
        let result = self.parent_change_state(transition);
        match transition {
            gst::StateChange::PausedToReady => self.cancel.start(),
            gst::StateChange::ReadyToNull => {
                self.model.lock().own = None;
                *self.analysis.lock() = None;
            }
            _ => {}
        }
        result
    }
}

impl BaseTransformImpl for FaceCrop {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let mut model = self.model.lock();
        (model.answered, model.fallback) = (None, None);
        drop(model);
        *self.state.lock() = State::default();
        self.reset();
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "cannot parse the caps {incaps}"))?;
        if info.interlace_mode() != gst_video::VideoInterlaceMode::Progressive {
            // The rows of two moments would be warped as those of one.
            self.post_error_message(gst::error_msg!(
                gst::StreamError::Format,
                (
                    "The picture is interlaced (interlace-mode={}), and only whole frames can be worked on; put \
                     videoconvert ! deinterlace before it",
                    info.interlace_mode().to_str()
                )
            ));
            return Err(gst::loggable_error!(CAT, "interlaced: {incaps}"));
        }
        let square = Square::of(&info)
            .map_err(|error| gst::loggable_error!(CAT, "pixels of {} cannot be made square: {error}", info.par()))?;
        if let Some(square) = &square {
            gst::debug!(CAT, imp = self, "pixels are {}: faces are looked for in {square}", info.par());
        }
        let size = |info: &gst_video::VideoInfo| (info.width(), info.height(), info.par());
        let resized = {
            let mut state = self.state.lock();
            let looked = state.looked.take().map(|(info, _)| info);
            let resized = state.info.iter().chain(&looked).any(|old| size(old) != size(&info));
            (state.info, state.square) = (Some(info), square.map(Arc::new));
            resized
        };
        if resized {
            self.reset();
        }
        // Ask again: the generator may be another one.
        self.model.lock().answered = None;
        let checked = self.model().and_then(|model| match self.analysis.lock().as_mut().map(|a| a.prepare(&model)) {
            // Given up for a flush: the next frame tries again.
            Some(Err(e)) if !self.cancel.is_cancelled() => Err(gst::error_msg!(gst::ResourceError::Settings, ("{e}"))),
            _ => Ok(()),
        });
        checked.map_err(|e| {
            self.post_error_message(e);
            gst::loggable_error!(CAT, "no model that can be used")
        })
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::FlushStart => self.cancel.flush_start(),
            gst::EventType::FlushStop => {
                self.cancel.flush_stop();
                self.reset();
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        let sink = self.obj().sink_pad().clone();
        match preview::frame(query).filter(|_| direction == gst::PadDirection::Sink) {
            // In a picture of another size, or that stands on its head, nothing would be found again.
            Some((frame, caps)) => sink.is_active() && preview::comes_unchanged(&sink) && self.preview(&frame, &caps),
            None => BaseTransformImplExt::parent_query(self, direction, query),
        }
    }

    fn propose_allocation(
        &self,
        _decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // The buffers go on as they are, so whatever suits the next element suits this one.
        if self.obj().src_pad().peer_query(query.query_mut()) {
            pixels::want_whole_pictures(query);
            Ok(())
        } else {
            Err(gst::loggable_error!(CAT, "downstream proposes nothing"))
        }
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Flags tell nothing: videorate's duplicates are GAP, and have pixels.
        if buffer.size() == 0 {
            return Ok(gst::FlowSuccess::Ok);
        }
        let config = self.settings.lock().config();
        let config = config.map_err(|e| self.fail(gst::error_msg!(gst::LibraryError::Settings, ("{e}"))))?;
        let model = self.model().map_err(|e| self.fail(e))?;
        let (time, step) = self.time_step(buffer);
        let moment = moment::of(buffer);
        let info = self.state.lock().info.clone().ok_or(gst::FlowError::NotNegotiated)?;
        self.check_region(config.region, &info);

        let result = {
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
                .map_err(|_| self.fail(gst::error_msg!(gst::ResourceError::Read, ("cannot map a video frame"))))?;
            let square = self.state.lock().square.clone();
            let mut analysis = self.analysis.lock();
            let analysis = analysis.as_mut().ok_or(gst::FlowError::Flushing)?;
            let faces = find(analysis, &frame, square.as_deref(), moment, step, &config, &model);
            faces.map(|faces| (faces, analysis.take_events(moment)))
        };
        let (faces, events) = result.map_err(|e| match self.cancel.is_cancelled() {
            true => gst::FlowError::Flushing,
            false => self.fail(gst::error_msg!(gst::LibraryError::Failed, ("{e}"))),
        })?;
        let absence = self.state.lock().absence.watch(step, &faces);
        for face in faces {
            gst::trace!(CAT, imp = self, "face {} at {:?}, weight {}", face.track, face.bbox, face.weight);
            FaceMeta::add(buffer, Arc::new(face));
        }
        for event in events {
            gst::debug!(CAT, imp = self, "{event:?}");
            self.post(event, time);
        }
        if let Some((lasts, unused)) = absence {
            self.post_absence(lasts, unused, time);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}
