// SPDX-License-Identifier: MPL-2.0
//! Numberings of a face's landmarks, and what they have in common with iBUG's 68.
//!
//! Left and right are those of the picture. The 68 are: 0–16 jaw from left to right, 17–21 and 22–26 brows, 27–30 bridge and
//! 31–35 base of the nose, 36–41 and 42–47 eyes, 48–59 outer and 60–67 inner lips.

use serde::Deserialize;

use crate::face_meta::LANDMARKS;

/// Which landmark has which number.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum PointSet {
    /// iBUG 300-W (Sagonas et al., ICCVW 2013).
    #[default]
    #[serde(rename = "ibug-68")]
    Ibug68,
    /// OpenSeeFace: the 68 without the outer corners of the mouth (48 and 54); the inner ones (58 and 62 here) lie in the
    /// corners instead, and what follows a missing point moves up.
    #[serde(rename = "openseeface-66")]
    OpenSeeFace66,
    /// WFLW (Wu et al., CVPR 2018): 33 points of the jaw, 9 of each brow, 8 of each eye, the pupils last.
    #[serde(rename = "wflw-98")]
    Wflw98,
    /// JD-landmark (Liu et al., ICMEW 2019) and LaPa: as WFLW, with 11 points around the nose and a pupil with each eye.
    #[serde(rename = "jd-106")]
    Jd106,
    /// Of the network that comes with Ultralight-Digital-Human. Its authors do not say what the numbers mean. Their crop rule
    /// uses three: 1 and 31, the jaw's second and last but one points beside the ears (of 33, as WFLW has them), and 52,
    /// between the brows at the top of the nose's bridge. These, and the jaw, are all that is known here.
    #[serde(rename = "pfld-110")]
    Pfld110,
    /// MediaPipe's face mesh: 468 points over the face.
    #[serde(rename = "mediapipe-468")]
    MediaPipe468,
    /// The same, and five points on each iris (468–472 left, 473–477 right).
    #[serde(rename = "mediapipe-478")]
    MediaPipe478,
}

/// A landmark by way of another set: half way between these two of that set's, which may be the same one twice.
pub type Between = [usize; 2];

/// Of eyes that have eight points, those that have a counterpart among six, from the outer (left eye) or inner corner on.
const SIX_OF_EIGHT: [usize; 6] = [0, 1, 3, 4, 5, 7];

/// Points of the mesh that lie on iBUG's, as they are commonly matched. The mesh's outline has other distances than iBUG's jaw:
/// three points on each side lie between two of the mesh's. On the test clips these and what face_landmark_68 finds are 0.016
/// (nose), 0.020 (eyes, lips), 0.025 (brows) and 0.031 (jaw) of the face's width apart, most of it the same in all frames.
#[rustfmt::skip]
const MEDIAPIPE: [Between; LANDMARKS] = [
    [127, 127], [234, 234], [93, 132], [132, 58], [58, 172], [136, 136], [150, 150], [176, 176], [152, 152], [400, 400],
    [379, 379], [365, 365], [397, 288], [288, 361], [361, 323], [454, 454], [356, 356], [70, 70], [63, 63], [105, 105],
    [66, 66], [107, 107], [336, 336], [296, 296], [334, 334], [293, 293], [300, 300], [168, 168], [197, 197], [5, 5],
    [4, 4], [75, 75], [97, 97], [2, 2], [326, 326], [305, 305], [33, 33], [160, 160], [158, 158], [133, 133],
    [153, 153], [144, 144], [362, 362], [385, 385], [387, 387], [263, 263], [373, 373], [380, 380], [61, 61], [39, 39],
    [37, 37], [0, 0], [267, 267], [269, 269], [291, 291], [405, 405], [314, 314], [17, 17], [84, 84], [181, 181],
    [78, 78], [82, 82], [13, 13], [312, 312], [308, 308], [317, 317], [14, 14], [87, 87],
];

impl PointSet {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ibug68 => "ibug-68",
            Self::OpenSeeFace66 => "openseeface-66",
            Self::Wflw98 => "wflw-98",
            Self::Jd106 => "jd-106",
            Self::Pfld110 => "pfld-110",
            Self::MediaPipe468 => "mediapipe-468",
            Self::MediaPipe478 => "mediapipe-478",
        }
    }

    /// How many points it has.
    pub fn count(self) -> usize {
        match self {
            Self::Ibug68 => 68,
            Self::OpenSeeFace66 => 66,
            Self::Wflw98 => 98,
            Self::Jd106 => 106,
            Self::Pfld110 => 110,
            Self::MediaPipe468 => 468,
            Self::MediaPipe478 => 478,
        }
    }

    /// Where each of iBUG's 68 lies among these points; `None` where that is not known.
    pub fn ibug(self) -> Option<[Between; LANDMARKS]> {
        let each = |at: fn(usize) -> usize| std::array::from_fn(|i| [at(i); 2]);
        match self {
            Self::Ibug68 => Some(each(|i| i)),
            Self::OpenSeeFace66 => Some(each(|i| match i {
                0..48 => i,
                48 | 60 => 58,
                49..54 => i - 1,
                54 | 64 => 62,
                _ => i - 2,
            })),
            Self::Wflw98 => Some(each(|i| match i {
                0..17 => 2 * i,
                17..22 => 33 + (i - 17),
                22..27 => 42 + (i - 22),
                27..36 => 51 + (i - 27),
                36..42 => 60 + SIX_OF_EIGHT[i - 36],
                42..48 => 68 + SIX_OF_EIGHT[i - 42],
                _ => 76 + (i - 48),
            })),
            // As the makers of the set convert it (FaceX-Zoo): its jaw begins higher up and is spaced otherwise.
            Self::Jd106 => {
                const JAW: [Between; 17] = [
                    [1, 2],
                    [3, 4],
                    [5, 6],
                    [7, 7],
                    [9, 9],
                    [11, 11],
                    [12, 13],
                    [14, 14],
                    [16, 16],
                    [18, 18],
                    [19, 20],
                    [21, 21],
                    [23, 23],
                    [25, 25],
                    [26, 27],
                    [28, 29],
                    [30, 31],
                ];
                let mut table: [Between; LANDMARKS] = each(|i| match i {
                    0..17 => 0,
                    17..22 => 33 + (i - 17),
                    22..27 => 42 + (i - 22),
                    27..31 => 51 + (i - 27),
                    31..36 => 58 + (i - 31),
                    36..42 => 66 + SIX_OF_EIGHT[i - 36],
                    42..48 => 75 + SIX_OF_EIGHT[i - 42],
                    _ => 84 + (i - 48),
                });
                table[..17].copy_from_slice(&JAW);
                Some(table)
            }
            Self::Pfld110 => None,
            Self::MediaPipe468 | Self::MediaPipe478 => Some(MEDIAPIPE),
        }
    }

    /// Where point `index` of this set lies among iBUG's 68; `None` where it has no counterpart.
    pub fn among_ibug(self, index: usize) -> Option<Between> {
        match (self, index) {
            // 33 points of a jaw: every other one is one of 17, the others lie half way between.
            (Self::Wflw98 | Self::Pfld110, 0..33) => Some([index / 2, index.div_ceil(2)]),
            (Self::Pfld110, 52) => Some([27, 27]),
            _ => self.ibug()?.iter().position(|&at| at == [index; 2]).map(|i| [i; 2]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [PointSet; 7] = [
        PointSet::Ibug68,
        PointSet::OpenSeeFace66,
        PointSet::Wflw98,
        PointSet::Jd106,
        PointSet::Pfld110,
        PointSet::MediaPipe468,
        PointSet::MediaPipe478,
    ];

    #[test]
    fn every_number_is_within_its_set() {
        for set in ALL {
            for at in set.ibug().into_iter().flatten().flatten() {
                assert!(at < set.count(), "{}: {at}", set.name());
            }
            for index in 0..500 {
                let there = set.among_ibug(index);
                assert!(there.is_none_or(|at| at[0] < 68 && at[1] < 68), "{} {index}", set.name());
                assert!(there.is_none() || index < set.count(), "{} {index}", set.name());
            }
        }
    }

    #[test]
    fn there_and_back_is_the_same_point() {
        for set in ALL {
            for (i, [a, b]) in set.ibug().into_iter().flatten().enumerate() {
                // OpenSeeFace has one point for the outer and the inner corner of the mouth.
                if a == b && !(set == PointSet::OpenSeeFace66 && [60, 64].contains(&i)) {
                    assert_eq!(set.among_ibug(a), Some([i, i]), "{} {i}", set.name());
                }
            }
        }
    }

    #[test]
    fn well_known_points_have_their_published_numbers() {
        // Chin, tip of the nose, outer corners of the eyes, corners of the mouth.
        for (set, numbers) in [
            (PointSet::Ibug68, [8, 30, 36, 45, 48, 54]),
            (PointSet::OpenSeeFace66, [8, 30, 36, 45, 58, 62]),
            (PointSet::Wflw98, [16, 54, 60, 72, 76, 82]),
            (PointSet::Jd106, [16, 54, 66, 79, 84, 90]),
            (PointSet::MediaPipe468, [152, 4, 33, 263, 61, 291]),
            (PointSet::MediaPipe478, [152, 4, 33, 263, 61, 291]),
        ] {
            let table = set.ibug().unwrap();
            assert_eq!([8, 30, 36, 45, 48, 54].map(|i| table[i]), numbers.map(|n| [n, n]), "{}", set.name());
        }
        // A pupil has no counterpart; the second point of 33 lies between the first two of 17.
        assert_eq!(PointSet::Wflw98.among_ibug(96), None);
        assert_eq!(PointSet::Wflw98.among_ibug(31), Some([15, 16]));
        assert_eq!(PointSet::Pfld110.among_ibug(1), Some([0, 1]));
        assert_eq!(PointSet::Pfld110.among_ibug(53), None);
    }
}
