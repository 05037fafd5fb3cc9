// SPDX-License-Identifier: MPL-2.0
//! What graphs made of pictures, kept for pictures that come again. Pure.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::tensors::FaceInput;
use crate::face_meta::RgbImage;
use crate::runtime::Tensor;

/// Room for answers. A clip's latents of MuseTalk take 16 KiB a frame, its pictures' features a few hundred.
const MOST_BYTES: usize = 512 << 20;

/// So many times as many pictures as there are answers, and none of them known: the answers are of no use any more.
const STALE: usize = 4;

/// Answers of one graph, one tensor per output, without the batch axis' other entries (its length is 1).
#[derive(Debug)]
pub struct Cache {
    room: usize,
    used: usize,
    answers: HashMap<u64, Arc<Vec<Tensor>>>,
    /// Questions without an answer since the last one that had one.
    misses: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self { room: MOST_BYTES, used: 0, answers: HashMap::new(), misses: 0 }
    }
}

/// What a face's pictures are known by.
pub fn key(face: &FaceInput) -> u64 {
    let mut hasher = DefaultHasher::new();
    let picture = |image: &Arc<RgbImage>, hasher: &mut DefaultHasher| {
        (image.width, image.height).hash(hasher);
        image.data.hash(hasher);
    };
    picture(&face.crop, &mut hasher);
    picture(&face.reference, &mut hasher);
    let numbers = |points: &[[f32; 2]], hasher: &mut DefaultHasher| {
        points.iter().flatten().for_each(|value| value.to_bits().hash(hasher));
    };
    numbers(&face.landmarks, &mut hasher);
    numbers(&face.points, &mut hasher);
    for memory in [&face.memory.open, &face.memory.closed].into_iter().flatten() {
        picture(&memory.crop, &mut hasher);
        numbers(&memory.landmarks, &mut hasher);
        memory.weight.to_bits().hash(&mut hasher);
    }
    hasher.finish()
}

impl Cache {
    pub fn get(&mut self, key: u64) -> Option<Arc<Vec<Tensor>>> {
        let answer = self.answers.get(&key).cloned();
        self.misses = if answer.is_some() { 0 } else { self.misses + 1 };
        answer
    }

    /// Keeps an answer where there is room. Of a clip that is too long for it the first part stays, as long as it comes
    /// again; when nothing has come again for a while, another clip has begun, and all of it makes place.
    pub fn insert(&mut self, key: u64, answer: Arc<Vec<Tensor>>) {
        let size = bytes(&answer);
        if self.used + size > self.room && self.misses > STALE * self.answers.len() {
            (self.used, self.misses) = (0, 0);
            self.answers.clear();
        }
        if self.used + size <= self.room && self.answers.insert(key, answer).is_none() {
            self.used += size;
        }
    }
}

/// What an answer takes besides its numbers, about: even those without any must not become too many.
const OVERHEAD: usize = 200;

fn bytes(answer: &[Tensor]) -> usize {
    OVERHEAD + answer.iter().map(|tensor| size_of_val(&tensor.data[..])).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_that_is_too_long_stays_in_part_and_within_the_room() {
        let size = OVERHEAD + 40;
        let mut cache = Cache { room: 10 * size, ..Cache::default() };
        let answer = || Arc::new(vec![Tensor::new([1, 10], vec![0.0; 10])]);
        let mut hits = |clip: std::ops::Range<u64>| {
            let mut hits = 0;
            for key in clip {
                hits += u32::from(cache.get(key).is_some());
                cache.insert(key, answer());
                assert!(cache.used <= cache.room && cache.used == size * cache.answers.len());
            }
            hits
        };
        assert_eq!([hits(0..30), hits(0..30), hits(0..30)], [0, 10, 10]);
        // Another clip takes over.
        assert_eq!([hits(100..130), hits(100..130)], [0, 10]);
    }
}
