// SPDX-License-Identifier: MPL-2.0
//! How often a detector may look at cuts in a picture without faces: snow and strobe lights are one cut after the other.

/// So many in a row, as at flashes, …
const IN_A_ROW: f32 = 3.0;
/// … and after that one in so many frames.
const FRAMES_PER_LOOK: f32 = 25.0;

/// The looks that are left. One that finds a face costs none.
#[derive(Debug)]
pub struct Looks(f32);

impl Default for Looks {
    fn default() -> Self {
        Self(IN_A_ROW)
    }
}

impl Looks {
    /// One more frame.
    pub fn frame(&mut self) {
        self.0 = (self.0 + 1.0 / FRAMES_PER_LOOK).min(IN_A_ROW);
    }

    pub fn are_left(&self) -> bool {
        self.0 >= 1.0
    }

    pub fn found_nothing(&mut self) {
        self.0 = (self.0 - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snow_gets_few_looks_and_single_cuts_all() {
        for (spacing, frames, expected) in [(1, 1000, 40..=44), (30, 3000, 99..=100)] {
            let mut looks = Looks::default();
            let mut count = 0;
            for k in 0..frames {
                looks.frame();
                if k % spacing == 0 && looks.are_left() {
                    count += 1;
                    looks.found_nothing();
                }
            }
            assert!(expected.contains(&count), "a cut every {spacing} frames: {count} looks in {frames}");
        }
    }
}
