// SPDX-License-Identifier: MPL-2.0
//! The small language in which `rule = "rectangle"` says where a crop's sides are.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = factor { ("*" | "/") factor }
//! factor  = number | name | function "(" sum { "," sum } ")" | "(" sum ")" | "-" factor
//! ```
//!
//! Names: `x0`, `y0`, … a landmark's coordinates in frame pixels; `min-x`, `max-x`, `min-y`, `max-y` of all landmarks;
//! `left`, `right`, `top`, `bottom` as far as they are worked out, in this order. Functions: `min(a, b)`, `max(a, b)`,
//! `abs(a)`, `round(a)` (halves to the even number, as Python does), `floor(a)`.

use crate::geometry::Point;
use crate::model::points::Between;

/// The sides in the order in which they are worked out.
pub const SIDES: [&str; 4] = ["left", "right", "top", "bottom"];

const EXTENTS: [&str; 4] = ["min-x", "max-x", "min-y", "max-y"];

/// Parentheses within parentheses, so that no text exhausts the stack.
const MAX_DEPTH: usize = 32;

const MAX_LENGTH: usize = 1000;

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Number(f64),
    /// Coordinate 0 (x) or 1 (y) of a landmark.
    Landmark(usize, Between),
    /// The index in `EXTENTS`.
    Extent(usize),
    /// The index in [`SIDES`].
    Side(usize),
    Negative(Box<Expression>),
    Binary(Binary, Box<[Expression; 2]>),
    Unary(Unary, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Min,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    Abs,
    Round,
    Floor,
}

/// What the names stand for.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    points: &'a [Point],
    extents: [f64; 4],
    sides: [f64; 4],
}

impl<'a> Values<'a> {
    pub fn new(points: &'a [Point]) -> Self {
        let all = |k: usize| points.iter().map(move |p| f64::from(p[k]));
        let (min, max) = (|k| all(k).fold(f64::INFINITY, f64::min), |k| all(k).fold(f64::NEG_INFINITY, f64::max));
        Self { points, extents: [min(0), max(0), min(1), max(1)], sides: [f64::NAN; 4] }
    }

    pub fn set_side(&mut self, side: usize, value: f64) {
        self.sides[side] = value;
    }
}

impl Expression {
    /// Parses what gives side number `side`; the earlier ones are known to it. The error says where and what was expected.
    pub fn parse(text: &str, side: usize) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("{} characters: expected at most {MAX_LENGTH}", text.len()));
        }
        let mut parser = Parser { text, at: 0, side, depth: 0 };
        let expression = parser.sum()?;
        match parser.peek() {
            None => Ok(expression),
            Some(_) => Err(parser.expected("+, -, *, / or the end")),
        }
    }

    /// NaN where a landmark is missing.
    pub fn value(&self, values: &Values) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Landmark(axis, [a, b]) => {
                let at = |i: &usize| values.points.get(*i).map_or(f64::NAN, |p| f64::from(p[*axis]));
                (at(a) + at(b)) / 2.0
            }
            Self::Extent(k) => values.extents[*k],
            Self::Side(k) => values.sides[*k],
            Self::Negative(a) => -a.value(values),
            Self::Binary(operator, operands) => {
                let [a, b] = [operands[0].value(values), operands[1].value(values)];
                match operator {
                    Binary::Add => a + b,
                    Binary::Subtract => a - b,
                    Binary::Multiply => a * b,
                    Binary::Divide => a / b,
                    Binary::Min => a.min(b),
                    Binary::Max => a.max(b),
                }
            }
            Self::Unary(function, a) => {
                let a = a.value(values);
                match function {
                    Unary::Abs => a.abs(),
                    Unary::Round => a.round_ties_even(),
                    Unary::Floor => a.floor(),
                }
            }
        }
    }

    /// Replaces every landmark by what `to` makes of it.
    pub fn renumber<E>(&mut self, to: &mut dyn FnMut(Between) -> Result<Between, E>) -> Result<(), E> {
        match self {
            Self::Landmark(_, between) => *between = to(*between)?,
            Self::Negative(a) | Self::Unary(_, a) => a.renumber(to)?,
            Self::Binary(_, operands) => operands.iter_mut().try_for_each(|a| a.renumber(to))?,
            Self::Number(_) | Self::Extent(_) | Self::Side(_) => {}
        }
        Ok(())
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    side: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn require(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.expected(&format!("\"{wanted}\""))) }
    }

    fn place(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn expected(&mut self, what: &str) -> String {
        let found = match self.peek() {
            Some(_) => {
                let word: String = self.rest().chars().take_while(|c| c.is_alphanumeric() || *c == '.').collect();
                format!("\"{}\"", if word.is_empty() { self.rest().chars().take(1).collect() } else { word })
            }
            None => "the end".into(),
        };
        format!("character {}: expected {what}, found {found}", self.place())
    }

    fn sum(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("character {}: expected at most {MAX_DEPTH} nested parentheses", self.place()));
        }
        let mut sum = self.product()?;
        loop {
            let operator = match self.peek() {
                Some('+') => Binary::Add,
                Some('-') => Binary::Subtract,
                _ => break,
            };
            self.at += 1;
            sum = Expression::Binary(operator, Box::new([sum, self.product()?]));
        }
        self.depth -= 1;
        Ok(sum)
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut product = self.factor()?;
        loop {
            let operator = match self.peek() {
                Some('*') => Binary::Multiply,
                Some('/') => Binary::Divide,
                _ => return Ok(product),
            };
            self.at += 1;
            product = Expression::Binary(operator, Box::new([product, self.factor()?]));
        }
    }

    fn factor(&mut self) -> Result<Expression, String> {
        let mut negative = false;
        while self.take('-') {
            negative = !negative;
        }
        let factor = match self.peek() {
            Some('(') => {
                self.at += 1;
                let sum = self.sum()?;
                self.require(')')?;
                sum
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number()?,
            Some(c) if c.is_ascii_alphabetic() => self.named()?,
            _ => return Err(self.expected("a number, a name or \"(\"")),
        };
        Ok(if negative { Expression::Negative(Box::new(factor)) } else { factor })
    }

    fn number(&mut self) -> Result<Expression, String> {
        let length = self.rest().find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest().len());
        match self.rest()[..length].parse() {
            Ok(number) => {
                self.at += length;
                Ok(Expression::Number(number))
            }
            Err(_) => Err(self.expected("a number such as 0.75")),
        }
    }

    fn named(&mut self) -> Result<Expression, String> {
        // The only names with a hyphen; elsewhere it is a minus.
        if let Some(k) = EXTENTS.iter().position(|name| self.rest().starts_with(name)) {
            self.at += EXTENTS[k].len();
            return Ok(Expression::Extent(k));
        }
        let rest = self.rest();
        let name = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
        if let Some(side) = SIDES.iter().position(|&side| side == name) {
            if side >= self.side {
                return Err(format!(
                    "character {}: \"{name}\" is not known here; the sides are worked out in the order {}",
                    self.place(),
                    SIDES.join(", ")
                ));
            }
            self.at += name.len();
            return Ok(Expression::Side(side));
        }
        for (axis, letter) in ["x", "y"].into_iter().enumerate() {
            if let Some(Ok(index)) = name.strip_prefix(letter).map(str::parse::<usize>) {
                self.at += name.len();
                return Ok(Expression::Landmark(axis, [index; 2]));
            }
        }
        let unary = [("abs", Unary::Abs), ("round", Unary::Round), ("floor", Unary::Floor)];
        let binary = [("min", Binary::Min), ("max", Binary::Max)];
        if let Some((_, function)) = unary.iter().find(|(known, _)| *known == name) {
            self.at += name.len();
            self.require('(')?;
            let a = self.sum()?;
            self.require(')')?;
            return Ok(Expression::Unary(*function, Box::new(a)));
        }
        if let Some((_, function)) = binary.iter().find(|(known, _)| *known == name) {
            self.at += name.len();
            self.require('(')?;
            let a = self.sum()?;
            self.require(',')?;
            let b = self.sum()?;
            self.require(')')?;
            return Ok(Expression::Binary(*function, Box::new([a, b])));
        }
        Err(self
            .expected("x0, y0, …, min-x, max-x, min-y, max-y, left, right, top, bottom, min, max, abs, round or floor"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> f64 {
        let points = [[1.0, 20.0], [5.0, -4.0], [3.0, 7.0]];
        let mut values = Values::new(&points);
        (0..3).for_each(|side| values.set_side(side, 100.0 * (side + 1) as f64));
        Expression::parse(text, 3).unwrap_or_else(|e| panic!("{text}: {e}")).value(&values)
    }

    #[test]
    fn arithmetic_is_as_usual() {
        for (text, expected) in [
            ("2 + 3 * 4 - 1", 13.0),
            ("(2 + 3) * 4 / 8", 2.5),
            ("8 - 3 - 2", 3.0),
            ("-x1 + --2", -3.0),
            ("x0-x1", -4.0),
            ("max-x-min-x", 4.0),
            ("max-y - min-y", 24.0),
            ("min(x1, 2) + max(y0, 30)", 32.0),
            ("abs(y1) * round(2.5) + floor(-0.5)", 7.0),
            ("round(3.5)", 4.0),
            ("left + right + top", 600.0),
            ("right-left", 100.0),
            (" .5*x2 ", 1.5),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        // Beyond the points that there are.
        assert!(value("x99").is_nan());
    }

    #[test]
    fn mistakes_say_where_and_what_was_expected() {
        for (text, expected) in [
            ("", "character 1: expected a number, a name or \"(\", found the end"),
            ("x0 +", "character 5: expected a number, a name or \"(\", found the end"),
            ("x0 x1", "character 4: expected +, -, *, / or the end, found \"x1\""),
            ("(x0 + 1", "character 8: expected \")\", found the end"),
            ("min(x0)", "character 7: expected \",\", found \")\""),
            ("abs x0", "character 5: expected \"(\", found \"x0\""),
            ("1.2.3", "character 1: expected a number such as 0.75, found \"1.2.3\""),
            ("2 * z5", "character 5: expected x0, y0, …"),
            ("x-1", "character 1: expected x0, y0, …"),
            ("é", "character 1: expected a number"),
            (
                "1 + bottom",
                "character 5: \"bottom\" is not known here; the sides are worked out in the order left, right, top",
            ),
            ("x0 ; 1", "found \";\""),
        ] {
            let error = Expression::parse(text, 3).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
        assert!(Expression::parse(&deep, 0).unwrap_err().contains("nested"));
        assert!(Expression::parse(&"-".repeat(5000), 0).unwrap_err().contains("at most"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-+*/(), .0-9a-zé]{0,40}") {
            if let Ok(expression) = Expression::parse(&text, 4) {
                expression.value(&Values::new(&[[1.0, 2.0]]));
            }
        }
    }
}
