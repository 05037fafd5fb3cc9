// SPDX-License-Identifier: MPL-2.0
//! Why a frame leaves without its mouth, for the message `late`. Pure.

use std::time::Duration;

/// Sound that comes, but for another time than the picture's, is this far away.
const ELSEWHERE: i64 = 1_000_000_000;

/// Sound came within so long: it is not missing, it is elsewhere.
const LATELY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The sound that the frame needs has not come.
    NoAudio,
    /// The model was not done in time.
    Compute,
    /// Sound comes, but its timestamps are not those of the picture.
    Timestamps,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAudio => "no-audio",
            Self::Compute => "compute",
            Self::Timestamps => "timestamps",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    pub why: Why,
    /// ns: by how much the sound, or the model, was behind; `None` where there was no sound at all.
    pub by: Option<i64>,
}

impl Lateness {
    /// Of a frame that needs sound until `needed`, where it is known until `known` and last came `ago`; running times in ns.
    pub fn of_sound(needed: i64, known: Option<i64>, ago: Option<Duration>) -> Self {
        let by = known.map(|known| needed.saturating_sub(known));
        let elsewhere = by.is_some_and(|by| by > ELSEWHERE) && ago.is_some_and(|ago| ago < LATELY);
        Self { why: if elsewhere { Why::Timestamps } else { Why::NoAudio }, by }
    }

    /// Of a frame whose mouth takes so long, where there is only so much time left for it.
    pub fn of_work(takes: Duration, left: Duration) -> Self {
        let by = takes.saturating_sub(left).as_nanos();
        Self { why: Why::Compute, by: Some(i64::try_from(by).unwrap_or(i64::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_that_comes_for_another_time_is_not_missing() {
        const S: i64 = 1_000_000_000;
        let why = |known, ago| Lateness::of_sound(60 * S, known, ago);
        assert_eq!(why(None, None), Lateness { why: Why::NoAudio, by: None });
        assert_eq!(why(Some(59 * S), Some(Duration::ZERO)), Lateness { why: Why::NoAudio, by: Some(S) });
        assert_eq!(why(Some(0), Some(Duration::from_secs(58))), Lateness { why: Why::NoAudio, by: Some(60 * S) });
        assert_eq!(why(Some(40 * S), Some(Duration::ZERO)), Lateness { why: Why::Timestamps, by: Some(20 * S) });
    }
}
