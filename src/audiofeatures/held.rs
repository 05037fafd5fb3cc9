// SPDX-License-Identifier: MPL-2.0
//! The part of an endless sequence that is still needed.

/// Numbers counted from the start of a stretch, of which the oldest are forgotten.
#[derive(Default)]
pub struct Held {
    numbers: Vec<f32>,
    /// Numbers that were there before these.
    first: u64,
}

impl Held {
    /// Numbers that have come, forgotten ones too.
    pub fn len(&self) -> u64 {
        self.first + self.numbers.len() as u64
    }

    pub fn push(&mut self, numbers: &[f32]) {
        self.numbers.extend_from_slice(numbers);
    }

    /// Where new numbers are added.
    pub fn end(&mut self) -> &mut Vec<f32> {
        &mut self.numbers
    }

    /// The numbers from `start` to `end`, as far as they are there.
    pub fn slice(&self, start: u64, end: u64) -> &[f32] {
        let index = |n: u64| (n.saturating_sub(self.first) as usize).min(self.numbers.len());
        &self.numbers[index(start)..index(end).max(index(start))]
    }

    /// Forgets what came before number `needed`. Moving the rest is worth it for `least` numbers or more.
    pub fn forget(&mut self, needed: u64, least: usize) {
        let needed = needed.min(self.len());
        if needed >= self.first + least.max(1) as u64 {
            self.numbers.drain(..(needed - self.first) as usize);
            self.first = needed;
        }
    }

    pub fn clear(&mut self) {
        self.numbers.clear();
        self.first = 0;
    }

    /// How many numbers are in memory.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.numbers.len()
    }
}
