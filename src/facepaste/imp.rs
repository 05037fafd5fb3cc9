// SPDX-License-Identifier: MPL-2.0
use std::sync::{Arc, LazyLock};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use parking_lot::Mutex;

use super::blender::{self, Blender, Override};
use super::{Blend, debug, image, warp};
use crate::face_meta::{Face, FaceMeta, Generated, Patch, Warp};
use crate::model::Model;
use crate::pixels::{self, Canvas};
use crate::properties::warn_if_late;
use crate::runtime::Cancel;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("facepaste", gst::DebugColorFlags::empty(), Some("Pastes generated mouths into frames"))
});

#[derive(Clone, Debug)]
struct Settings {
    model: Option<String>,
    blend: Blend,
    feather: f32,
    match_color: bool,
    opacity: f64,
    debug: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: None, blend: Blend::Model, feather: -1.0, match_color: false, opacity: 1.0, debug: false }
    }
}

#[derive(Default)]
struct State {
    info: Option<VideoInfo>,
    /// The model that the faces must come from, where the property names one.
    model: Option<Arc<Model>>,
    /// A broken result has been reported; the next ones are only logged at a lower level.
    warned: bool,
}

#[derive(Default)]
pub struct FacePaste {
    settings: Mutex<Settings>,
    state: Mutex<State>,
    /// Of the model of the last faces, where its blend needs files. Only the streaming thread keeps it locked for long.
    blender: Mutex<Option<Blender>>,
    /// A flush or a state change waits for the streaming thread.
    cancel: Cancel,
}

/// What is to be put into a frame.
enum Job<'a> {
    Warp(&'a Face, &'a Warp),
    Image(&'a Face, &'a Patch, image::Style),
}

/// The properties, made anew: a class owns those it is given, and lipsyncbin has them too.
pub(crate) fn properties() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb("The lip-sync model that the mouths must come from: a name, or a folder's path. Not needed; the frames say it")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("blend", Blend::Model)
            .nick("Blend")
            .blurb("How a generated picture meets the frame: as [facepaste] of the model says (hard, feather, mask, hull or parsing), or one of the two that need nothing of the model. Models that warp the frame bring their own soft border")
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("feather")
            .nick("Feather")
            .blurb("Width of a generated picture's soft border as a fraction of the crop, inside the crop, the hull or the parsed parts; not of blend=hard and of masks, which bring their own. -1 = as the model says")
            .minimum(-1.0)
            .maximum(0.5)
            .default_value(-1.0)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("match-color")
            .nick("Match color")
            .blurb("Shift a generated picture's colour so that it has the original's along the border")
            .default_value(false)
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("opacity")
            .nick("Opacity")
            .blurb("How much of the generated mouth is shown: 0 = the untouched frame, 1 = all of it")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(1.0)
            .controllable()
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("debug")
            .nick("Debug")
            .blurb("Draw each face's box, its 68 points and its crop, whose colour says why there is no new mouth: green = there is one, grey = none was made, blue = too small, yellow = turned away, orange = uncertain, black = lost, white = no speech, magenta = late, red = failed")
            .default_value(false)
            .mutable_playing()
            .build(),
    ]
}

#[glib::object_subclass]
impl ObjectSubclass for FacePaste {
    const NAME: &'static str = "GstLipsyncFacePaste";
    type Type = super::FacePaste;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for FacePaste {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        warn_if_late(&*self.obj(), pspec);
        let mut settings = self.settings.lock();
        // GObject has checked the types.
        match pspec.name() {
            "model" => settings.model = value.get().unwrap(),
            "blend" => settings.blend = value.get().unwrap(),
            "feather" => settings.feather = value.get().unwrap(),
            "match-color" => settings.match_color = value.get().unwrap(),
            "opacity" => settings.opacity = value.get().unwrap(),
            "debug" => settings.debug = value.get().unwrap(),
            name => gst::error!(CAT, imp = self, "no property {name}"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock();
        match pspec.name() {
            "model" => settings.model.to_value(),
            "blend" => settings.blend.to_value(),
            "feather" => settings.feather.to_value(),
            "match-color" => settings.match_color.to_value(),
            "opacity" => settings.opacity.to_value(),
            "debug" => settings.debug.to_value(),
            // GObject asks only for what `properties` lists.
            _ => pspec.default_value().clone(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_qos(false);
        obj.set_gap_aware(true);
    }
}

impl GstObjectImpl for FacePaste {}

impl ElementImpl for FacePaste {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lip-sync face paste",
                "Filter/Effect/Video",
                "Puts generated mouths into the video frames that they were made for",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = pixels::caps();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                // Building a template fails only where its name and presence contradict each other.
                .map(|(name, way)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).unwrap())
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && let Err(message) = self.open_model()
        {
            self.post_error_message(message);
            return Err(gst::StateChangeError);
        }
        if transition == gst::StateChange::PausedToReady {
            self.cancel.stop();
        }
        let result = self.parent_change_state(transition);
        match transition {
            gst::StateChange::PausedToReady => self.cancel.start(),
            gst::StateChange::ReadyToNull => self.state.lock().model = None,
            _ => {}
        }
        result
    }
}

impl BaseTransformImpl for FacePaste {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let mut state = self.state.lock();
        state.info = None;
        state.warned = false;
        *self.blender.lock() = None;
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "these caps describe no raw video: {incaps}"))?;
        self.state.lock().info = Some(info);
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::FlushStart => self.cancel.flush_start(),
            gst::EventType::FlushStop => self.cancel.flush_stop(),
            _ => {}
        }
        self.parent_sink_event(event)
    }

    /// The frames that arrive are the frames that leave, so what the next element wants of them is what we want.
    fn propose_allocation(
        &self,
        _decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        if self.obj().src_pad().peer_query(query) {
            Ok(())
        } else {
            Err(gst::loggable_error!(CAT, "the next element has no wishes for the allocation"))
        }
    }

    fn before_transform(&self, buffer: &gst::BufferRef) {
        let obj = self.obj();
        let segment = obj.segment();
        if let Some(segment) = segment.downcast_ref::<gst::ClockTime>()
            && let Some(time) = segment.to_stream_time(buffer.pts())
        {
            // Fails only where no property is controlled.
            let _ = obj.sync_values(time);
        }
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let faces = FaceMeta::take(buffer);
        if faces.is_empty() {
            return Ok(gst::FlowSuccess::Ok);
        }
        let settings = self.settings.lock().clone();
        let (info, model) = {
            let state = self.state.lock();
            (state.info.clone(), state.model.clone())
        };
        let info = info.ok_or(gst::FlowError::NotNegotiated)?;
        if let Some(model) = model {
            self.check_model(&model, &faces)?;
        }
        self.open_blend(&faces, &settings)?;
        let jobs: Vec<Job> = faces.iter().filter_map(|face| self.job(face, &settings)).collect();
        if !settings.debug && jobs.is_empty() {
            return Ok(gst::FlowSuccess::Ok);
        }

        let fail = |what: &str| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{what}"));
            gst::FlowError::Error
        };
        let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &info)
            .map_err(|_| fail("a frame cannot be mapped for writing: its size or layout is not what its caps say"))?;
        let mut canvas = Canvas::new(&mut frame)
            .ok_or_else(|| fail("a frame's layout (format, stride) is not what its caps say"))?;
        for job in &jobs {
            let (face, pasted) = match job {
                Job::Warp(face, warp) => (face, warp::paste(&mut canvas, face, warp, opacity(face, &settings))),
                Job::Image(face, patch, style) => (face, image::paste(&mut canvas, face, patch, style)),
            };
            if let Err(what) = pasted {
                self.warn(face, &what);
            }
        }
        if settings.debug {
            for face in &faces {
                debug::draw(&mut canvas, face);
            }
        }
        drop(frame);
        // What was a duplicate (videorate marks those) shows something of its own now.
        buffer.unset_flags(gst::BufferFlags::GAP | gst::BufferFlags::DROPPABLE);
        Ok(gst::FlowSuccess::Ok)
    }
}

/// How much of the face's new mouth is shown, 0..1; 0 where its weight is no number.
fn opacity(face: &Face, settings: &Settings) -> f32 {
    let opacity = face.weight * settings.opacity as f32;
    if opacity > 0.0 { opacity.min(1.0) } else { 0.0 }
}

impl FacePaste {
    fn open_model(&self) -> Result<(), gst::ErrorMessage> {
        let spec = self.settings.lock().model.clone().filter(|spec| !spec.is_empty());
        let model = spec.map(|spec| Model::open(&spec)).transpose()?;
        self.state.lock().model = model;
        Ok(())
    }

    fn check_model(&self, model: &Arc<Model>, faces: &[Arc<Face>]) -> Result<(), gst::FlowError> {
        // Models are told apart by their manifests: what facepaste does depends on nothing else.
        let other = faces.iter().find(|f| !Arc::ptr_eq(&f.model, model) && f.model.manifest != model.manifest);
        let Some(face) = other else { return Ok(()) };
        gst::element_imp_error!(
            self,
            gst::ResourceError::Settings,
            (
                "facepaste has model=\"{}\" ({}), but the mouths come from \"{}\" ({}): name the same model, or none here",
                &*model.manifest.name,
                model.folder.display(),
                &*face.model.manifest.name,
                face.model.folder.display()
            )
        );
        Err(gst::FlowError::Error)
    }

    /// Opens the files that the blend of the faces' model needs, at its first face: before that nobody says which model it is.
    fn open_blend(&self, faces: &[Arc<Face>], settings: &Settings) -> Result<(), gst::FlowError> {
        let mut blender = self.blender.lock();
        let needs = |face: &&Arc<Face>| blender::needs_files(&face.model.manifest.facepaste, settings.blend);
        let missing = |face: &&Arc<Face>| blender.as_ref().is_none_or(|b| !b.is_of(&face.model));
        let Some(face) = faces.iter().filter(needs).find(missing) else { return Ok(()) };
        let error = match Blender::open(face.model.clone(), &self.cancel) {
            Ok(opened) => {
                *blender = Some(opened);
                return Ok(());
            }
            Err(error) => error,
        };
        drop(blender);
        if self.cancel.is_cancelled() {
            return Err(gst::FlowError::Flushing);
        }
        self.post_error_message(error.into());
        Err(gst::FlowError::Error)
    }

    /// `None` where nothing of `face` is to be shown.
    fn job<'a>(&self, face: &'a Face, settings: &Settings) -> Option<Job<'a>> {
        let opacity = opacity(face, settings);
        match face.generated.as_ref().filter(|_| opacity > 0.0)? {
            Generated::Warp(warp) => Some(Job::Warp(face, warp)),
            Generated::Image(patch) => {
                let wish = Override { blend: settings.blend, feather: settings.feather };
                let cover = blender::cover(self.blender.lock().as_mut(), face, &wish);
                match cover {
                    Ok(cover) if cover.is_empty() => None,
                    Ok(cover) => {
                        let detail = blender::detail(&face.model.manifest.facepaste, settings.blend);
                        let style = image::Style { cover, detail, match_color: settings.match_color, opacity };
                        Some(Job::Image(face, patch, style))
                    }
                    // The frame goes nowhere.
                    Err(_) if self.cancel.is_cancelled() => None,
                    Err(what) => {
                        self.warn(face, &what);
                        None
                    }
                }
            }
        }
    }

    /// Says once on the bus, and then only in the log, why a mouth is not shown.
    fn warn(&self, face: &Face, what: &str) {
        let text = format!("what model \"{}\" generated cannot be pasted: {what}", &*face.model.manifest.name);
        let first = !std::mem::replace(&mut self.state.lock().warned, true);
        if first {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
        } else {
            gst::debug!(CAT, imp = self, "{text}");
        }
    }
}
