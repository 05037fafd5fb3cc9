// SPDX-License-Identifier: MPL-2.0
//! What to say at the end of a picture in which nobody could be given a mouth. Pure.

use std::sync::Arc;

use crate::face_meta::{Face, Reason, VISIBLE};

#[derive(Debug, Default)]
pub struct Summary {
    frames: u64,
    /// Some face could be given a mouth.
    usable: bool,
    /// Why the widest of the others could not, and how wide it was, px.
    unused: Option<(Reason, f32)>,
}

impl Summary {
    pub fn see(&mut self, faces: &[Arc<Face>]) {
        self.frames += 1;
        self.usable |= faces.iter().any(|face| face.weight >= VISIBLE);
        let widest = faces.iter().max_by(|a, b| a.bbox.w.total_cmp(&b.bbox.w));
        if let Some(face) = widest
            && let Some(reason) = face.reason
            && self.unused.is_none_or(|(_, width)| width < face.bbox.w)
        {
            self.unused = Some((reason, face.bbox.w));
        }
    }

    /// `None` where somebody could, or there was no frame.
    pub fn text(&self) -> Option<String> {
        let frames = self.frames;
        if self.usable || frames == 0 {
            return None;
        }
        Some(match self.unused {
            None => format!("no face was found in {frames} frames, so the picture was left as it is"),
            Some((Reason::TooSmall, width)) => format!(
                "no face was large enough: the widest in {frames} frames is {width:.0} px wide, and mouths fade in from facecrop's \
                 min-face-size to a tenth more; lower that, or take a picture that shows the face larger"
            ),
            Some((reason, width)) => format!(
                "no face could be used: the widest in {frames} frames, {width:.0} px, was {} in all of them",
                reason.as_str()
            ),
        })
    }
}
