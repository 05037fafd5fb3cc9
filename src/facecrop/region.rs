// SPDX-License-Identifier: MPL-2.0
//! The property `region`: "x,y,w,h" in pixels of the frame.

use crate::geometry::Rect;

/// `None` for an empty text. The error is for the user.
pub fn parse(text: &str) -> Result<Option<Rect>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let numbers: Option<Vec<f32>> =
        text.split(',').map(|n| n.trim().parse().ok().filter(|v: &f32| v.abs() <= 65_536.0)).collect();
    match numbers.as_deref() {
        Some(&[x, y, w, h]) if w >= 1.0 && h >= 1.0 => Ok(Some(Rect::new(x, y, w, h))),
        _ => Err(format!(
            "region = \"{text}\": expected x,y,w,h in pixels with w and h of at least 1, such as 100,50,200,200"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_numbers_are_a_region() {
        assert_eq!(parse("10, 20,30,40"), Ok(Some(Rect::new(10.0, 20.0, 30.0, 40.0))));
        assert_eq!(parse(" "), Ok(None));
        for wrong in ["1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,0,4", "1,2,NaN,4", "1,2,inf,4"] {
            assert!(parse(wrong).unwrap_err().contains(wrong));
        }
    }
}
