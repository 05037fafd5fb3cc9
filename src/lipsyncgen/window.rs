// SPDX-License-Identifier: MPL-2.0
//! Which rows of features belong to a frame. Pure: times are running times in nanoseconds, nothing waits here.
//!
//! Rows come in stretches of unbroken sound. Row k of its sound belongs to the time `anchor + k / rate`; a frame at time t
//! belongs to row `floor((t − anchor) · rate + 1e-3)`. The thousandth of a row absorbs the rounding of timestamps to whole
//! nanoseconds. Where rows make groups, one for each frame of the videos that the model knows, it belongs to the first row of
//! the last such frame by then. A stretch's first and last `beyond` rows are of what is around the sound: windows reach into
//! them, but no frame belongs to one.

use std::collections::VecDeque;

use crate::model::manifest::{End, Rows};

const SECOND: i128 = 1_000_000_000;

/// Rows are numbered up to this: three thousand years of them at 100,000 a second.
const MOST_ROWS: i64 = 1 << 53;

/// The rows known so far.
#[derive(Debug)]
pub struct RowStore {
    width: usize,
    /// Rows per second as a fraction.
    rate: (u32, u32),
    /// Rows before the sound's first and after its last.
    beyond: i64,
    stretches: VecDeque<Stretch>,
    /// No more rows will come.
    ended: bool,
}

#[derive(Debug)]
struct Stretch {
    /// Running time of the sound's row 0; rows before the start of the segment may lie below zero.
    anchor: i64,
    /// Index of the first row in `rows`: older ones have been dropped.
    first: i64,
    /// The first row this stretch ever had, and the first of its sound.
    begin: i64,
    origin: i64,
    rows: VecDeque<f32>,
    /// Which of them are silent.
    silent: VecDeque<bool>,
}

/// What a frame finds.
#[derive(Debug, PartialEq)]
pub enum Window {
    /// `count` rows, one after the other.
    Rows(Vec<f32>),
    /// Rows that are still to come are needed.
    Wait,
    /// There is no sound at this time and none will come: before, between or after the stretches.
    NoSound { after_the_end: bool },
}

impl RowStore {
    /// `width` numbers per row, `rate` rows per second (numerator, denominator), both above 0.
    pub fn new(width: usize, rate: (u32, u32), beyond: u32) -> Self {
        Self { width, rate, beyond: beyond.into(), stretches: VecDeque::new(), ended: false }
    }

    pub fn clear(&mut self) {
        self.stretches.clear();
        self.ended = false;
    }

    /// No more rows will come until [`RowStore::clear`], [`RowStore::go_on`] or the next [`RowStore::push`].
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// More rows will come after all, of a new stretch.
    pub fn go_on(&mut self) {
        self.ended = false;
    }

    /// Appends whole rows, the first of which is the `offset`-th of its stretch. It belongs to `time`, or that is when the
    /// sound begins. A new stretch begins where `discont` says so or the rows do not continue.
    pub fn push(&mut self, time: i64, offset: i64, discont: bool, silent: bool, rows: &[f32]) {
        if rows.len() < self.width {
            return;
        }
        self.ended = false;
        // What a buffer says of itself may be anything.
        let offset = offset.clamp(0, MOST_ROWS) - self.beyond;
        let continues = self.stretches.back().is_some_and(|s| s.end(self.width) == offset);
        if discont || !continues {
            let origin = offset.max(0);
            let anchor = time.saturating_sub(self.duration(origin));
            self.stretches.push_back(Stretch {
                anchor,
                first: offset,
                begin: offset,
                origin,
                rows: VecDeque::new(),
                silent: VecDeque::new(),
            });
        }
        if let Some(stretch) = self.stretches.back_mut() {
            stretch.rows.extend(rows);
            stretch.silent.extend(std::iter::repeat_n(silent, rows.len() / self.width));
        }
    }

    /// The window of a frame at `time`.
    pub fn window(&self, time: i64, rows: Rows) -> Window {
        // A frame belongs to the last stretch that has begun by then, if that has not stopped before it.
        let Some(at) = self.stretches.iter().rposition(|s| self.index(s, time) >= s.origin) else {
            return if self.stretches.is_empty() && !self.ended {
                Window::Wait
            } else {
                Window::NoSound { after_the_end: self.stretches.is_empty() }
            };
        };
        let stretch = &self.stretches[at];
        let is_last = at + 1 == self.stretches.len();
        let complete = !is_last || self.ended;
        let row = self.index(stretch, time);
        let (begin, end) = (stretch.begin, stretch.end(self.width));
        // The sound's last row stands for its very end, so a frame that late shows nothing of it.
        if complete && row + 1 >= end - self.beyond {
            return Window::NoSound { after_the_end: is_last };
        }
        let wanted = self.start(stretch, time, rows);
        let count = i64::from(rows.count);
        if !complete && wanted + count > end {
            return Window::Wait;
        }
        let wanted = match rows.end {
            End::Clamp => wanted.min(end - count).max(begin),
            End::Zero | End::Edge => wanted,
        };
        let mut window = Vec::with_capacity(rows.count as usize * self.width);
        for k in wanted..wanted + count {
            let inside = k >= begin && k < end;
            if !inside && rows.end == End::Zero {
                window.resize(window.len() + self.width, 0.0);
                continue;
            }
            // Rows that were already dropped are older than any window that `forget` was told of.
            let k = k.clamp(stretch.first, end - 1);
            let start = (k - stretch.first) as usize * self.width;
            window.extend(stretch.rows.range(start..start + self.width));
        }
        Window::Rows(window)
    }

    /// Where the rows known so far end.
    pub fn known_until(&self) -> Option<i64> {
        let stretch = self.stretches.back()?;
        Some(stretch.anchor.saturating_add(self.duration(stretch.end(self.width))))
    }

    /// Whether there is a voice at `time`, and whether there will be one while a window of it lasts, as far as that is known.
    /// `None` where there are no rows.
    pub fn voice(&self, time: i64, rows: Rows) -> Option<[bool; 2]> {
        let stretch = self.stretches.iter().rfind(|s| self.index(s, time) >= s.origin)?;
        let own = self.index(stretch, time) - stretch.first;
        let last = self.start(stretch, time, rows) + i64::from(rows.count) - stretch.first;
        let voice = |from: i64, to: i64| {
            let part = from.clamp(0, stretch.len(self.width)) as usize..to.clamp(0, stretch.len(self.width)) as usize;
            (!part.is_empty()).then(|| stretch.silent.range(part).any(|silent| !silent))
        };
        Some([voice(own, own + 1)?, voice(own, last.max(own + 1))?])
    }

    /// Whether more rows could change what a frame at `time` finds.
    pub fn is_ready(&self, time: i64, rows: Rows) -> bool {
        let Some(at) = self.stretches.iter().rposition(|s| self.index(s, time) >= s.origin) else {
            return self.ended || !self.stretches.is_empty();
        };
        let stretch = &self.stretches[at];
        let complete = self.ended || at + 1 < self.stretches.len();
        let wanted = self.start(stretch, time, rows) + i64::from(rows.count);
        complete || wanted <= stretch.end(self.width)
    }

    /// Drops rows that no frame at or after `time` can need.
    pub fn forget(&mut self, time: i64, rows: Rows) {
        while self.stretches.len() > 1 && self.index(&self.stretches[1], time) >= self.stretches[1].origin {
            self.stretches.pop_front();
        }
        let Some(index) = self.stretches.front().map(|s| self.index(s, time)) else { return };
        let width = self.width;
        if let Some(stretch) = self.stretches.front_mut() {
            // `clamp` and `edge` reach back at the end: keep a whole window before the frame.
            let group = rows
                .rate
                .map_or(0, |rate| u64::from(self.rate.0).div_ceil(u64::from(self.rate.1) * u64::from(rate)) as i64);
            let keep_from = index - i64::from(rows.before.max(rows.count)) - group;
            let drop = (keep_from - stretch.first).clamp(0, stretch.len(width) - 1);
            stretch.rows.drain(..drop as usize * width);
            stretch.silent.drain(..drop as usize);
            stretch.first += drop;
        }
    }

    /// Numbers held.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.stretches.iter().map(|s| s.rows.len()).sum()
    }

    fn index(&self, stretch: &Stretch, time: i64) -> i64 {
        steps(time, stretch.anchor, self.rate) as i64
    }

    /// The first row of the window of a frame at `time`.
    fn start(&self, stretch: &Stretch, time: i64, rows: Rows) -> i64 {
        let own = match rows.rate {
            None => self.index(stretch, time),
            Some(rate) => {
                let frame = steps(time, stretch.anchor, (rate, 1));
                (frame * i128::from(self.rate.0)).div_euclid(i128::from(self.rate.1) * i128::from(rate)) as i64
            }
        };
        own - i64::from(rows.before)
    }

    fn duration(&self, rows: i64) -> i64 {
        let ns = i128::from(rows) * i128::from(self.rate.1) * SECOND / i128::from(self.rate.0);
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }
}

/// How many steps, of which there are so many a second (numerator, denominator), lie between `anchor` and `time`.
fn steps(time: i64, anchor: i64, (count, seconds): (u32, u32)) -> i128 {
    // In thousandths of a step, so that the tolerance is exact.
    let elapsed = i128::from(time) - i128::from(anchor);
    let thousandths = (elapsed * i128::from(count) * 1000).div_euclid(i128::from(seconds) * SECOND) + 1;
    thousandths.div_euclid(1000)
}

impl Stretch {
    fn len(&self, width: usize) -> i64 {
        (self.rows.len() / width) as i64
    }

    fn end(&self, width: usize) -> i64 {
        self.first + self.len(width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn rows(before: u32, count: u32, end: End) -> Rows {
        Rows { before, count, end, rate: None }
    }

    /// Row k holds the one number k.
    fn store(n: i64) -> RowStore {
        let mut store = RowStore::new(1, (100, 1), 0);
        store.push(0, 0, true, false, &(0..n).map(|k| k as f32).collect::<Vec<_>>());
        store
    }

    #[test]
    fn a_frame_takes_the_rows_around_its_time() {
        let store = store(50);
        assert_eq!(store.window(200 * MS, rows(2, 4, End::Zero)), Window::Rows(vec![18., 19., 20., 21.]));
        // 40 ms frames rounded down to whole nanoseconds at 29.97 fps stay on their row.
        assert_eq!(store.window(200 * MS - 1, rows(0, 1, End::Zero)), Window::Rows(vec![20.]));
        assert_eq!(store.window(200 * MS - 20_000, rows(0, 1, End::Zero)), Window::Rows(vec![19.]));
    }

    #[test]
    fn beyond_the_ends_it_is_as_the_model_says() {
        let mut store = store(10);
        assert_eq!(store.window(80 * MS, rows(0, 4, End::Zero)), Window::Wait);
        assert!(!store.is_ready(80 * MS, rows(0, 4, End::Zero)));
        store.end();
        assert!(store.is_ready(80 * MS, rows(0, 4, End::Zero)));
        assert_eq!(store.window(80 * MS, rows(0, 4, End::Zero)), Window::Rows(vec![8., 9., 0., 0.]));
        assert_eq!(store.window(80 * MS, rows(0, 4, End::Edge)), Window::Rows(vec![8., 9., 9., 9.]));
        assert_eq!(store.window(80 * MS, rows(0, 4, End::Clamp)), Window::Rows(vec![6., 7., 8., 9.]));
        assert_eq!(store.window(0, rows(2, 4, End::Edge)), Window::Rows(vec![0., 0., 0., 1.]));
        assert_eq!(store.window(90 * MS, rows(0, 4, End::Edge)), Window::NoSound { after_the_end: true });
    }

    #[test]
    fn a_gap_between_stretches_has_no_sound() {
        let mut store = store(10);
        assert_eq!(store.window(500 * MS, rows(0, 1, End::Edge)), Window::Wait);
        store.push(1000 * MS, 0, true, false, &[7.0; 10]);
        assert_eq!(store.window(500 * MS, rows(0, 1, End::Edge)), Window::NoSound { after_the_end: false });
        assert_eq!(store.window(1020 * MS, rows(0, 1, End::Edge)), Window::Rows(vec![7.0]));
        assert_eq!(store.window(-10 * MS, rows(0, 1, End::Edge)), Window::NoSound { after_the_end: false });
    }

    #[test]
    fn a_stretch_that_starts_late_keeps_its_own_times() {
        let mut store = RowStore::new(1, (80, 1), 0);
        store.push(100 * MS, 8, true, false, &[8.0, 9.0, 10.0]);
        store.end();
        assert_eq!(store.window(112_500_000, rows(0, 1, End::Edge)), Window::Rows(vec![9.0]));
    }

    #[test]
    fn windows_reach_beyond_the_sound_but_no_frame_does() {
        let mut store = RowStore::new(1, (100, 1), 2);
        // Two before the sound, which begins at 1 s, three of it, two after it.
        store.push(1000 * MS, 0, true, false, &[-2.0, -1.0]);
        let mid = rows(2, 4, End::Edge);
        assert_eq!(store.window(1000 * MS, mid), Window::Wait);
        store.push(1000 * MS, 2, false, false, &[0.0, 1.0, 2.0, 3.0, 4.0]);
        store.end();
        assert_eq!(store.window(1000 * MS, mid), Window::Rows(vec![-2.0, -1.0, 0.0, 1.0]));
        assert_eq!(store.window(1010 * MS, rows(0, 4, End::Edge)), Window::Rows(vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(store.window(1000 * MS, rows(3, 4, End::Zero)), Window::Rows(vec![0.0, -2.0, -1.0, 0.0]));
        assert_eq!(store.window(990 * MS, mid), Window::NoSound { after_the_end: false });
        assert_eq!(store.window(1020 * MS, mid), Window::NoSound { after_the_end: true });
    }

    #[test]
    fn rows_in_groups_are_taken_by_groups() {
        // Four rows make a frame of 25 a second.
        let store = store(50);
        let at = |time, rate| match store.window(time, Rows { rate, ..rows(4, 8, End::Zero) }) {
            Window::Rows(found) => (found[4], found.len()),
            other => panic!("{other:?}"),
        };
        let thirtieth = 1_000_000_000 / 30;
        assert_eq!([6, 7, 8, 9].map(|i| at(i * thirtieth, None).0), [20.0, 23.0, 26.0, 30.0]);
        assert_eq!([6, 7, 8, 9].map(|i| at(i * thirtieth, Some(25)).0), [20.0, 20.0, 24.0, 28.0]);
        assert_eq!(at(6 * thirtieth, Some(25)), (20.0, 8));
    }

    #[test]
    fn a_voice_is_seen_coming() {
        let mut store = RowStore::new(1, (100, 1), 0);
        store.push(0, 0, true, true, &[0.0; 20]);
        store.push(200 * MS, 20, false, false, &[0.0; 10]);
        let rows = rows(2, 8, End::Edge);
        assert_eq!(store.voice(100 * MS, rows), Some([false, false]));
        assert_eq!(store.voice(150 * MS, rows), Some([false, true]));
        assert_eq!(store.voice(250 * MS, rows), Some([true, true]));
        assert_eq!(store.voice(300 * MS, rows), None);
        store.forget(140 * MS, rows);
        assert_eq!(store.voice(140 * MS, rows), Some([false, false]));
    }

    /// What a buffer says of itself, and what a manifest may ask for, at its worst.
    #[test]
    fn absurd_rows_and_times_are_taken() {
        let slow = Rows { rate: Some(512), ..rows(3, 4, End::Clamp) };
        for offset in [i64::MIN, -1, 0, i64::MAX] {
            for time in [i64::MIN, -1, i64::MAX] {
                let mut store = RowStore::new(1, (4000, 1 << 23), 10_000);
                store.push(time, offset, false, false, &[]);
                assert_eq!(store.held(), 0);
                store.push(time, offset, false, false, &[1.0; 9]);
                store.push(time, offset.saturating_add(9), false, false, &[2.0; 9]);
                for at in [i64::MIN, 0, i64::MAX] {
                    store.forget(at, slow);
                    assert_eq!(store.is_ready(at, slow), store.window(at, slow) != Window::Wait);
                }
                assert!(store.known_until().is_some());
            }
        }
    }

    #[test]
    fn hours_later_the_row_is_still_exact() {
        let store = RowStore::new(1, (16000, 160), 0);
        let stretch =
            Stretch { anchor: 12_345, first: 0, begin: 0, origin: 0, rows: VecDeque::new(), silent: VecDeque::new() };
        let hour = 3_600_000 * MS;
        assert_eq!(store.index(&stretch, 1000 * hour + 12_345), 1000 * 360_000);
    }

    proptest! {
        #[test]
        fn forgetting_changes_nothing_that_follows(
            n in 20i64..200, before in 0u32..12, count in 1u32..12, times in prop::collection::vec(0i64..2500, 1..20), end in 0..3,
            rate in prop::option::of(1u32..120)
        ) {
            let rows = Rows { rate, ..rows(before, count, [End::Zero, End::Edge, End::Clamp][end as usize]) };
            let (mut whole, mut forgetful) = (store(n), store(n));
            whole.end();
            forgetful.end();
            let mut times = times;
            times.sort_unstable();
            for t in times {
                forgetful.forget(t * MS, rows);
                prop_assert_eq!(whole.window(t * MS, rows), forgetful.window(t * MS, rows));
            }
        }

        #[test]
        fn what_is_ready_never_waits(n in 1i64..60, t in -500i64..1500, before in 0u32..12, count in 1u32..12, ended: bool, rate in prop::option::of(1u32..120)) {
            let mut store = store(n);
            if ended { store.end(); }
            let rows = Rows { rate, ..rows(before, count, End::Edge) };
            prop_assert_eq!(store.is_ready(t * MS, rows), store.window(t * MS, rows) != Window::Wait);
        }
    }

    #[test]
    fn memory_stays_bounded() {
        let rows = rows(111, 128, End::Edge);
        let mut store = RowStore::new(80, (100, 1), 0);
        for k in 0..100_000i64 {
            store.push(k * 10 * MS, k, k == 0, false, &[0.0; 80]);
            store.forget(k * 10 * MS, rows);
            assert!(store.held() <= 80 * 140);
        }
    }
}
