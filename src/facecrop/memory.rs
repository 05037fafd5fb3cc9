// SPDX-License-Identifier: MPL-2.0
//! What was found in the frames of a clip that comes again and again. Pure.
//!
//! It is not looked for again. Nor would the same be found: faces are followed and smoothed, so a frame's depend on those
//! before it. With the very same crop, what the model's graphs made of it the first time is still good, too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::analysis::Config;
use super::rule::Place;
use super::tracker::Event;
use crate::face_meta::{Face, RgbImage};
use crate::model::Model;
use crate::moment::Moment;

/// A face takes about 1 KiB, with the points of a mesh 5 KiB; an hour of one has 90,000.
const MOST_BYTES: usize = 200 << 20;

/// A face as it was found.
#[derive(Clone)]
pub struct Seen {
    pub face: Face,
    /// Where its crop was cut out of the frame; `None` where that was an earlier one's.
    pub place: Option<Place>,
}

/// Of one clip, as long as what is looked for stays the same.
#[derive(Default)]
pub struct Memory {
    about: Option<(u64, Config, Arc<Model>)>,
    frames: HashMap<u64, Vec<Seen>>,
    /// Who came and went in frames that were looked at before they are played.
    events: BTreeMap<u64, Vec<Event>>,
    bytes: usize,
    nothing: Arc<RgbImage>,
}

impl Memory {
    /// What was found in a frame when it was there before.
    pub fn recall(&mut self, moment: Moment, config: &Config, model: &Arc<Model>) -> Option<&[Seen]> {
        let same = |(clip, for_config, for_model): &(u64, Config, Arc<Model>)| {
            *clip == moment.clip && for_config == config && Arc::ptr_eq(for_model, model)
        };
        if !self.about.as_ref().is_some_and(same) {
            self.about = Some((moment.clip, *config, model.clone()));
            self.frames.clear();
            self.events.clear();
            self.bytes = 0;
        }
        self.frames.get(&moment.frame).map(Vec::as_slice)
    }

    /// Keeps what was found in the frame of the last [`Self::recall`], which had nothing; the crops can be cut out again.
    pub fn keep(&mut self, moment: Moment, mut found: Vec<Seen>) {
        let bytes: usize = found.iter().map(|seen| size_of::<Seen>() + size_of_val(&*seen.face.points)).sum();
        if self.bytes + bytes > MOST_BYTES {
            return;
        }
        self.bytes += bytes;
        for seen in found.iter_mut().filter(|seen| seen.place.is_some()) {
            seen.face.crop = self.nothing.clone();
        }
        self.frames.insert(moment.frame, found);
    }

    /// Keeps what is to be told when the frame of the last [`Self::recall`] is played.
    pub fn tell_later(&mut self, moment: Moment, events: Vec<Event>) {
        if !events.is_empty() {
            self.events.insert(moment.frame, events);
        }
    }

    /// What is to be told now that the frame of the last [`Self::recall`] is played, once; of frames that were left out, too.
    pub fn told(&mut self, moment: Moment) -> Vec<Event> {
        let later = self.events.split_off(&moment.frame.saturating_add(1));
        std::mem::replace(&mut self.events, later).into_values().flatten().collect()
    }
}
