// SPDX-License-Identifier: MPL-2.0
//! The meta that carries a face, and later its generated mouth, along with the video frame.
//!
//! facecrop adds one meta per face, lipsyncgen fills in what was generated, facepaste applies and removes it. The payload
//! sits behind an `Arc`, so copying a buffer's metas never copies pixels. The API has the tags `video` and `size`:
//! elements that copy or scale a frame take the meta along (scaled), elements that do more to the geometry drop it.
//!
//! This file holds `unsafe` code: GStreamer's meta interface is C.

use std::fmt;
use std::mem;
use std::ops::Range;
use std::ptr;
use std::sync::{Arc, LazyLock};

use gst::glib;
use gst::glib::translate::*;
use gst::prelude::*;

use crate::geometry::{Affine, Point, Rect};
use crate::model::Model;
use crate::model::points::PointSet;

/// Number of landmarks, in the order of the iBUG 300-W annotation.
pub const LANDMARKS: usize = 68;

/// Head rotation estimated from the landmarks, in degrees, 0 = facing the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// > 0: the face is turned towards the right of the picture.
    pub yaw: f32,
    /// > 0: the chin is up.
    pub pitch: f32,
    /// > 0: the head is tilted clockwise in the picture.
    pub roll: f32,
}

/// Why a face has no generated mouth, or one that is fading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    TooSmall,
    TurnedAway,
    Uncertain,
    /// The face left; its last geometry is kept only while the mouth fades.
    Lost,
    /// There is no sound for this frame.
    NoSpeech,
    /// The generator was not done in time.
    Late,
    /// The generator failed.
    Failed,
}

/// Faces with less weight look as if they had been left as they are.
pub const VISIBLE: f32 = 0.5;

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too small",
            Self::TurnedAway => "turned away",
            Self::Uncertain => "uncertain",
            Self::Lost => "lost",
            Self::NoSpeech => "no speech",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }
}

/// 8-bit RGB, `width * height * 3` bytes, rows without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RgbImage {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
}

/// What an `image` model made: the new crop, RGB.
pub type Patch = RgbImage;

/// What a `warp` model made: planes of `height * width` values on a grid that spans the crop, corners included.
///
/// Lengths are fractions of the crop. See the manifest's documentation for the meaning of each plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Warp {
    pub width: usize,
    pub height: usize,
    /// Backward displacement dx, dy of the upper side: 2 planes.
    pub upper: Values,
    /// The same of the lower side.
    pub lower: Values,
    /// Signed distances to the upper and to the lower lip's edge, > 0 inside that side: 2 planes.
    pub edges: Values,
    /// Premultiplied R, G, B and alpha, 0..1: 4 planes, on this grid or on `inner_grid`.
    pub inner: Values,
    /// Where the inside of the mouth has a grid of its own.
    pub inner_grid: Option<InnerGrid>,
    /// Paste weight 0..1: 1 plane.
    pub weight: Values,
}

/// A grid for the inside of the mouth alone, which may be finer, as it spans no more than where the mouth is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InnerGrid {
    pub width: usize,
    pub height: usize,
    /// What it spans, corners included: left, top, right, bottom in fractions of the crop. Beyond it the inside is transparent.
    pub area: [f32; 4],
}

/// Numbers, in memory that the faces of a batch share: what a graph yields is not copied for each of them.
#[derive(Clone)]
pub struct Values {
    all: Arc<Vec<f32>>,
    own: Range<usize>,
}

impl Values {
    /// Those of `all` in the range `own`, which must lie within.
    pub fn part(all: &Arc<Vec<f32>>, own: Range<usize>) -> Self {
        debug_assert!(own.end <= all.len());
        Self { all: all.clone(), own }
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self { own: 0..values.len(), all: Arc::new(values) }
    }
}

impl std::ops::Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.all[self.own.clone()]
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} values", self.len())
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

#[derive(Clone, Debug)]
pub enum Generated {
    Image(Arc<Patch>),
    Warp(Arc<Warp>),
}

/// One face in one frame. All coordinates are pixels of the frame unless said otherwise.
#[derive(Clone, Debug)]
pub struct Face {
    pub model: Arc<Model>,
    /// The same number as long as the face is followed.
    pub track: u32,
    pub bbox: Rect,
    /// Up to 100 ms old where facecrop's `region` is the crop and nothing is drawn by them.
    pub landmarks: [Point; LANDMARKS],
    /// The landmark network's own points, as many as `point_set` has; none where that is iBUG's, which `landmarks` are.
    pub points: Arc<[Point]>,
    /// The numbering of `points`.
    pub point_set: PointSet,
    /// 0..1
    pub confidence: f32,
    pub pose: Pose,
    /// From crop pixels (0..width, 0..height of `crop`) to frame pixels.
    pub crop_to_frame: Affine,
    pub crop: Arc<RgbImage>,
    pub generated: Option<Generated>,
    /// How much of the generated mouth is shown, 0..1.
    pub weight: f32,
    pub reason: Option<Reason>,
}

impl Face {
    /// The same face in a frame scaled by `sx`, `sy`.
    pub fn scaled(&self, sx: f32, sy: f32) -> Self {
        let scale = Affine::scale(sx, sy);
        let mut face = self.clone();
        face.bbox = Rect::new(self.bbox.x * sx, self.bbox.y * sy, self.bbox.w * sx, self.bbox.h * sy);
        for p in &mut face.landmarks {
            *p = scale.apply(*p);
        }
        face.points = self.points.iter().map(|p| scale.apply(*p)).collect();
        face.crop_to_frame = self.crop_to_frame.then(&scale);
        face
    }
}

#[repr(C)]
#[doc(hidden)]
pub struct RawFaceMeta {
    parent: gst::ffi::GstMeta,
    face: Arc<Face>,
}

/// A face on a buffer.
#[repr(transparent)]
pub struct FaceMeta(RawFaceMeta);

// SAFETY: the only field beyond GstMeta is an Arc of data that is Send + Sync (checked by the function below).
unsafe impl Send for FaceMeta {}
unsafe impl Sync for FaceMeta {}
const _: fn() = || {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Arc<Face>>();
};

impl FaceMeta {
    /// Attaches `face` to `buffer`.
    pub fn add(buffer: &mut gst::BufferRef, face: Arc<Face>) -> gst::MetaRefMut<'_, Self, gst::meta::Standalone> {
        let mut params = mem::ManuallyDrop::new(InitParams { face });
        // SAFETY: the info is this meta's own, the parameters are what `init` expects, and `init` takes the Arc out of
        // them exactly once (ManuallyDrop keeps it from being dropped here again).
        unsafe {
            let meta = gst::ffi::gst_buffer_add_meta(
                buffer.as_mut_ptr(),
                info(),
                &mut *params as *mut InitParams as glib::ffi::gpointer,
            ) as *mut RawFaceMeta;
            Self::from_mut_ptr(buffer, meta)
        }
    }

    pub fn face(&self) -> &Arc<Face> {
        &self.0.face
    }

    /// All faces on `buffer`, in the order in which they were added.
    pub fn faces(buffer: &gst::BufferRef) -> Vec<Arc<Face>> {
        buffer.iter_meta::<Self>().map(|m| m.face().clone()).collect()
    }

    /// Removes every face from `buffer` and returns them in the order in which they were added.
    pub fn take(buffer: &mut gst::BufferRef) -> Vec<Arc<Face>> {
        let mut faces = Vec::new();
        while let Some(meta) = buffer.meta_mut::<Self>() {
            faces.push(meta.face().clone());
            // Removing our own meta cannot fail: it is neither locked nor pooled.
            if meta.remove().is_err() {
                break;
            }
        }
        faces
    }
}

// SAFETY: `meta_api` is the API type under which `info()` registered the layout of RawFaceMeta.
unsafe impl MetaAPI for FaceMeta {
    type GstType = RawFaceMeta;

    fn meta_api() -> glib::Type {
        api()
    }
}

/// The most buffers that the pool has which this one goes back to; `None` where there is no pool, or no limit. Here because
/// the bindings do not tell a buffer's pool.
pub fn pool_limit(buffer: &gst::BufferRef) -> Option<u32> {
    // SAFETY: a buffer holds a reference to its pool, if it has one, for as long as it is not back there; the reference taken here
    // is this function's own.
    let pool: Option<gst::BufferPool> = unsafe { from_glib_none((*buffer.as_ptr()).pool) };
    let (_, _, _, most) = pool?.config().params()?;
    (most > 0).then_some(most)
}

struct InitParams {
    face: Arc<Face>,
}

fn api() -> glib::Type {
    static API: LazyLock<glib::Type> = LazyLock::new(|| {
        // SAFETY: all strings are static and NUL-terminated, the list of tags ends with NULL.
        unsafe {
            let mut tags = [c"video".as_ptr(), c"size".as_ptr(), ptr::null()];
            from_glib(gst::ffi::gst_meta_api_type_register(c"LipsyncFaceMetaAPI".as_ptr(), tags.as_mut_ptr() as *mut _))
        }
    });
    *API
}

fn info() -> *const gst::ffi::GstMetaInfo {
    struct Info(ptr::NonNull<gst::ffi::GstMetaInfo>);
    // SAFETY: GStreamer never changes or frees a registered meta's info.
    unsafe impl Send for Info {}
    unsafe impl Sync for Info {}

    static INFO: LazyLock<Info> = LazyLock::new(|| {
        // SAFETY: the size is that of the layout the three functions work on. Registration fails only where another copy
        // of this plugin registered the same name in this process; the plugin registers itself only once.
        unsafe {
            let info = gst::ffi::gst_meta_register(
                api().into_glib(),
                c"LipsyncFaceMeta".as_ptr(),
                mem::size_of::<RawFaceMeta>(),
                Some(init),
                Some(free),
                Some(transform),
            );
            Info(ptr::NonNull::new(info as *mut _).expect("registering LipsyncFaceMeta, two copies of the plugin?"))
        }
    });
    INFO.0.as_ptr()
}

// SAFETY (of the three functions): GStreamer calls them with a meta of the size registered above. `init` gets `params` as
// passed by `add` or `transform` and moves the Arc out; `free` runs once and drops it.
unsafe extern "C" fn init(
    meta: *mut gst::ffi::GstMeta,
    params: glib::ffi::gpointer,
    _buffer: *mut gst::ffi::GstBuffer,
) -> glib::ffi::gboolean {
    unsafe {
        let params = ptr::read(params as *const InitParams);
        ptr::write(&mut (*(meta as *mut RawFaceMeta)).face, params.face);
    }
    glib::ffi::GTRUE
}

unsafe extern "C" fn free(meta: *mut gst::ffi::GstMeta, _buffer: *mut gst::ffi::GstBuffer) {
    unsafe { ptr::drop_in_place(&mut (*(meta as *mut RawFaceMeta)).face) }
}

unsafe extern "C" fn transform(
    dest: *mut gst::ffi::GstBuffer,
    meta: *mut gst::ffi::GstMeta,
    _buffer: *mut gst::ffi::GstBuffer,
    type_: glib::ffi::GQuark,
    data: glib::ffi::gpointer,
) -> glib::ffi::gboolean {
    unsafe {
        let face = &(*(meta as *const RawFaceMeta)).face;
        let dest = gst::BufferRef::from_mut_ptr(dest);
        if type_ == *COPY {
            // A copy of a part of the buffer is no longer the picture.
            let region = (data as *const gst::ffi::GstMetaTransformCopy).as_ref();
            if region.is_some_and(|copy| copy.region != glib::ffi::GFALSE) {
                return glib::ffi::GFALSE;
            }
            FaceMeta::add(dest, face.clone());
            return glib::ffi::GTRUE;
        }
        if type_ == *SCALE
            && let Some(scale) = (data as *const gst_video::ffi::GstVideoMetaTransform).as_ref()
            && let (Some(from), Some(to)) = (scale.in_info.as_ref(), scale.out_info.as_ref())
            && from.width > 0
            && from.height > 0
        {
            let (sx, sy) = (to.width as f32 / from.width as f32, to.height as f32 / from.height as f32);
            let face = if (sx, sy) == (1.0, 1.0) { face.clone() } else { Arc::new(face.scaled(sx, sy)) };
            FaceMeta::add(dest, face);
            return glib::ffi::GTRUE;
        }
    }
    glib::ffi::GFALSE
}

static COPY: LazyLock<glib::ffi::GQuark> = LazyLock::new(|| glib::Quark::from_str("gst-copy").into_glib());
static SCALE: LazyLock<glib::ffi::GQuark> =
    LazyLock::new(|| glib::Quark::from_static_str(glib::gstr!("gst-video-scale")).into_glib());
