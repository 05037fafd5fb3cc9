// SPDX-License-Identifier: MPL-2.0
//! Manifest values that check themselves, so that an error points at the very line.

use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};

/// A number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Checked<T, const MIN: i64, const MAX: i64>(pub T);

macro_rules! checked {
    ($type:ty, $what:literal) => {
        impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Checked<$type, MIN, MAX> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = f64::deserialize(deserializer)?;
                if !(MIN as f64..=MAX as f64).contains(&value) || (value as $type) as f64 != value {
                    return Err(D::Error::custom(format!("{value}: expected {} from {MIN} to {MAX}", $what)));
                }
                Ok(Self(value as $type))
            }
        }
    };
}
checked!(u32, "a whole number");
checked!(f64, "a number");

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction(pub f32);

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Checked::<f64, 0, 1>::deserialize(deserializer).map(|v| Self(v.0 as f32))
    }
}

/// Two finite numbers, the first below the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range(pub [f32; 2]);

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [low, high] = <[f32; 2]>::deserialize(deserializer)?;
        if !(low < high && low.is_finite() && high.is_finite()) {
            return Err(D::Error::custom(format!("[{low}, {high}]: expected [low, high] with low < high")));
        }
        Ok(Self([low, high]))
    }
}

/// A rectangle in fractions of the crop: left, top, right, bottom, 0 ≤ left < right ≤ 1 and 0 ≤ top < bottom ≤ 1. Its error
/// names `inner-area`, the only key of that kind: it stands in a section whose lines errors do not tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area(pub [f32; 4]);

impl Area {
    /// Fails for what is no such rectangle, saying what was expected.
    pub fn new(area: [f32; 4]) -> Result<Self, String> {
        let [left, top, right, bottom] = area;
        // Also where one of them is no number.
        if !(0.0 <= left && left < right && right <= 1.0 && 0.0 <= top && top < bottom && bottom <= 1.0) {
            return Err(format!(
                "{area:?}: expected [left, top, right, bottom] with 0 ≤ left < right ≤ 1 and 0 ≤ top < bottom ≤ 1"
            ));
        }
        Ok(Self(area))
    }
}

impl<'de> Deserialize<'de> for Area {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let area = <[f32; 4]>::deserialize(deserializer)?;
        Self::new(area).map_err(|error| D::Error::custom(format!("inner-area: {error}")))
    }
}

/// A rectangle in fractions of the crop: the same for all frames, or what an output (N, 4) of the graphs says for each.
#[derive(Clone, Debug, PartialEq)]
pub enum InnerArea {
    Fixed(Area),
    Output(Name),
}

impl<'de> Deserialize<'de> for InnerArea {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = InnerArea;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("inner-area: [left, top, right, bottom] or the name of an output")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, numbers: A) -> Result<InnerArea, A::Error> {
                Area::deserialize(SeqAccessDeserializer::new(numbers)).map(InnerArea::Fixed)
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<InnerArea, E> {
                Name::deserialize(name.into_deserializer()).map(InnerArea::Output)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A text that is not empty and can be shown: without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty() {
            return Err(D::Error::custom("expected a text that is not empty"));
        }
        // Names stand in caps and messages.
        if text.contains(char::is_control) {
            return Err(D::Error::custom(format!("{text:?}: expected a text without control characters")));
        }
        Ok(Self(text))
    }
}

/// Width and height in pixels, each from 8 to 2048.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [width, height] = <[Checked<u32, 8, 2048>; 2]>::deserialize(deserializer)?;
        Ok(Self { width: width.0 as usize, height: height.0 as usize })
    }
}

/// A length that may be negative: frame pixels, written `"10px"`, or a fraction of something, written `"0.1"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    Px(f32),
    Fraction(f32),
}

impl Length {
    /// In pixels, `whole` being what the fraction is of.
    pub fn of(self, whole: f32) -> f32 {
        match self {
            Self::Px(length) => length,
            Self::Fraction(part) => part * whole,
        }
    }
}

impl Default for Length {
    fn default() -> Self {
        Self::Px(0.0)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = |text: &str, most: f32| text.trim().parse().ok().filter(|n: &f32| n.abs() <= most);
        let length = match text.strip_suffix("px") {
            Some(pixels) => number(pixels, 4096.0).map(Self::Px),
            None => number(&text, 10.0).map(Self::Fraction),
        };
        length.ok_or_else(|| {
            D::Error::custom(format!("\"{text}\": expected a length such as \"10px\", or a fraction such as \"0.1\""))
        })
    }
}

/// `"a"` or `["a", "b"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
                T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|v| vec![v])
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(v) = seq.next_element()? {
                    list.push(v);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_any(Visitor(std::marker::PhantomData)).map(Self)
    }
}
