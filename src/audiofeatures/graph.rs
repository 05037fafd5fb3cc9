// SPDX-License-Identifier: MPL-2.0
//! An encoder's graph, opened, checked against the manifest, and run on a window.

use std::fmt::Display;
use std::path::PathBuf;

use crate::model::Model;
use crate::model::manifest::{Encoder, WindowAxis};
use crate::runtime::{self, Aside, Element, Options, RuntimeError, SharedSession, Tensor, TensorInfo};

/// Runs the graph on windows, on a thread of its own.
pub type Listener = Aside<Heard, Result<Answers, RuntimeError>>;

/// What a recurrent network keeps in mind after a window, in the order of [`Encoder::state`]; empty before a stretch's first.
///
/// It travels with the windows: neither the graph, which others may use, nor its thread, which may be left to itself, knows
/// what belongs to which sound.
pub type Mind = Vec<Tensor>;

/// What a run hears.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub window: Vec<f32>,
    pub mind: Mind,
}

/// What comes of it: at least as many rows as are skipped and used.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    pub rows: Vec<f32>,
    pub mind: Mind,
}

/// What a network keeps in mind may hold this many numbers in all: more than any is meant to.
const MAX_MIND: usize = 1 << 22;

pub struct Graph {
    session: SharedSession,
    file: PathBuf,
    recipe: Encoder,
    /// Numbers in a front row.
    width: usize,
    /// Answers of a window that must be there.
    answers: usize,
    /// The axes of what it keeps in mind.
    mind: Vec<Vec<usize>>,
}

impl Graph {
    /// Opens the encoder of `model` and runs it once on zeros, so that a graph that does not fit fails here, in words.
    pub fn open(model: &Model, recipe: &Encoder, options: &Options) -> Result<Self, RuntimeError> {
        let file = runtime::choose(model, &recipe.files, options.backend)?;
        let session = runtime::open(&file, options)?;
        Self::of(session, file, model, recipe)
    }

    /// The session of what `file` holds is open already.
    pub fn of(session: SharedSession, file: PathBuf, model: &Model, recipe: &Encoder) -> Result<Self, RuntimeError> {
        let mut graph = Self {
            session,
            file,
            recipe: recipe.clone(),
            width: model.manifest.audiofeatures.front.width(),
            answers: recipe.skipped() + recipe.used(),
            mind: Vec::new(),
        };
        graph.check()?;
        graph.run(Heard { window: vec![0.0; recipe.window * graph.width], mind: Mind::new() })?;
        Ok(graph)
    }

    fn fail(&self, what: impl Display) -> RuntimeError {
        RuntimeError(format!("{}: {what}", self.file.display()))
    }

    fn check(&mut self) -> Result<(), RuntimeError> {
        let (inputs, outputs) = {
            let session = self.session.lock();
            (session.inputs().to_vec(), session.outputs().to_vec())
        };
        let has = |list: &[TensorInfo], name: &str| list.iter().any(|info| info.name == name);
        let (input, lengths) = (&*self.recipe.input, self.recipe.lengths.as_deref());
        for (key, name) in [("input", Some(input)), ("lengths", lengths)] {
            if let Some(name) = name.filter(|name| !has(&inputs, name)) {
                return Err(self.fail(format!(
                    "[audiofeatures] {key} = \"{name}\", but the graph's inputs are: {}",
                    names(&inputs)
                )));
            }
        }
        if !has(&outputs, &self.recipe.output) {
            let output = &*self.recipe.output;
            return Err(self.fail(format!(
                "[audiofeatures] output = \"{output}\", but the graph's outputs are: {}",
                names(&outputs)
            )));
        }
        self.mind = self.check_state(&inputs, &outputs)?;
        for info in inputs.iter().filter(|info| self.recipe.state.iter().all(|carried| *carried.input != info.name)) {
            let expected = match &info.name {
                name if *name == input => self.shape(),
                name if Some(name.as_str()) == lengths => vec![1],
                _ => return Err(self.fail(format!("input {info} is fed by nothing; export the graph without it"))),
            };
            let fits = info.shape.len() == expected.len()
                && info.shape.iter().zip(&expected).all(|(found, made)| found.is_none_or(|found| found == *made));
            // A single number may have no axes at all.
            let is_number = info.name != input && info.shape.is_empty();
            if !fits && !is_number {
                let expected = expected.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                return Err(self.fail(format!(
                    "input {info} does not fit: [audiofeatures] makes ({expected}), see layout, window and front"
                )));
            }
        }
        Ok(())
    }

    /// The axes of what is kept in mind, in the manifest's order.
    fn check_state(&self, inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<Vec<Vec<usize>>, RuntimeError> {
        let mut shapes = Vec::new();
        for carried in &self.recipe.state {
            let (from, to) = (&*carried.input, &*carried.output);
            let key = format!("[audiofeatures] state = {{ {from} = \"{to}\" }}");
            let find = |list: &[TensorInfo], name: &str, what: &str| {
                let found = list.iter().find(|info| info.name == name).cloned();
                found.ok_or_else(|| {
                    self.fail(format!("{key} names \"{name}\", but the graph's {what} are: {}", names(list)))
                })
            };
            let (input, output) = (find(inputs, from, "inputs")?, find(outputs, to, "outputs")?);
            if !matches!(input.element, Element::F32 | Element::F16) {
                return Err(self.fail(format!("{key}: expected an input of float32 or float16, found {input}")));
            }
            let Some(shape) = input.shape.iter().copied().collect::<Option<Vec<_>>>() else {
                return Err(self.fail(format!(
                    "{key}: expected an input all of whose axes have a length, found {input}; export the graph with fixed ones"
                )));
            };
            let agrees = output.shape.len() == shape.len()
                && output.shape.iter().zip(&shape).all(|(found, fixed)| found.is_none_or(|found| found == *fixed));
            if !agrees {
                return Err(
                    self.fail(format!("{key}: output {output} becomes input {input}, expected the same shape of both"))
                );
            }
            shapes.push(shape);
        }
        let size = |shape: &Vec<usize>| shape.iter().fold(1usize, |size, axis| size.saturating_mul(*axis));
        let numbers = shapes.iter().map(size).fold(0, usize::saturating_add);
        if numbers > MAX_MIND {
            return Err(self.fail(format!(
                "[audiofeatures] state: the inputs hold {numbers} numbers, expected at most {MAX_MIND}"
            )));
        }
        Ok(shapes)
    }

    /// The axes of the input.
    fn shape(&self) -> Vec<usize> {
        let length = |axis: &WindowAxis| match axis {
            WindowAxis::One => 1,
            WindowAxis::Row => self.recipe.window,
            WindowAxis::Width => self.width,
        };
        self.recipe.layout.iter().map(length).collect()
    }

    /// What the encoder answers to a window.
    pub fn run(&self, heard: Heard) -> Result<Answers, RuntimeError> {
        let Heard { window, mut mind } = heard;
        let place = |axis| self.recipe.layout.iter().position(|found| *found == axis);
        let transposed = place(WindowAxis::Width) < place(WindowAxis::Row) && place(WindowAxis::Width).is_some();
        let window = if transposed {
            (0..self.width).flat_map(|column| window.iter().skip(column).step_by(self.width)).copied().collect()
        } else {
            window
        };
        let input = Tensor::new(self.shape(), window);
        if mind.len() != self.mind.len() {
            mind = self.mind.iter().map(|shape| Tensor::new(&**shape, vec![0.0; shape.iter().product()])).collect();
        }
        // An output may be carried to several inputs, and be the answer too.
        let mut wanted = vec![&*self.recipe.output];
        for carried in &self.recipe.state {
            if !wanted.contains(&&*carried.output) {
                wanted.push(&carried.output);
            }
        }
        let mut session = self.session.lock();
        let lengths = self.recipe.lengths.as_deref().map(|name| {
            let is_scalar = session.inputs().iter().any(|info| info.name == name && info.shape.is_empty());
            let shape = if is_scalar { vec![] } else { vec![1] };
            (name, Tensor::new(shape, vec![self.recipe.window as f32]))
        });
        let mut inputs = vec![(&*self.recipe.input, &input)];
        inputs.extend(lengths.as_ref().map(|(name, lengths)| (*name, lengths)));
        inputs.extend(self.recipe.state.iter().zip(&mind).map(|(carried, kept)| (&*carried.input, kept)));
        let made = session.run(&inputs, &wanted)?;
        drop(session);
        let made = |name: &str| {
            let found = wanted.iter().position(|wanted| *wanted == name).and_then(|at| made.get(at)).cloned();
            found.ok_or_else(|| self.fail(format!("the graph did not yield \"{name}\"")))
        };
        let answers = made(&self.recipe.output)?;
        self.check_answers(&answers)?;
        let mut mind = Mind::new();
        for (carried, shape) in self.recipe.state.iter().zip(&self.mind) {
            let kept = made(&carried.output)?;
            self.check_kept(&carried.output, &kept, shape)?;
            mind.push(kept);
        }
        Ok(Answers { rows: answers.data, mind })
    }

    /// Whether it can be an input of that shape.
    fn check_kept(&self, name: &str, kept: &Tensor, expected: &[usize]) -> Result<(), RuntimeError> {
        if kept.shape != expected || kept.data.len() != expected.iter().product::<usize>() {
            return Err(self.fail(format!(
                "output \"{name}\" has the shape {:?}, but [audiofeatures] state carries it to an input of {expected:?}",
                kept.shape
            )));
        }
        self.check_finite(name, kept)
    }

    fn check_finite(&self, name: &str, output: &Tensor) -> Result<(), RuntimeError> {
        match output.data.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(self.fail(format!("output \"{name}\" holds NaN or infinity"))),
        }
    }

    fn check_answers(&self, output: &Tensor) -> Result<(), RuntimeError> {
        let (name, width, shape) = (&*self.recipe.output, self.recipe.width, &output.shape);
        // Rows are made of the last axes.
        let mut row = 1usize;
        let fits = width == 1
            || shape.iter().rev().any(|axis| {
                row = row.saturating_mul(*axis);
                row == width
            });
        if !fits || !output.data.len().is_multiple_of(width) {
            return Err(self.fail(format!(
                "output \"{name}\" has the shape {shape:?}, whose last axes make no row of [audiofeatures] width = {width}"
            )));
        }
        let (found, expected) = (output.data.len() / width, self.answers);
        if found < expected {
            return Err(self.fail(format!(
                "output \"{name}\" has the shape {shape:?}, which is {found} rows of width = {width}, but [audiofeatures] uses {expected}: \
                 make the second context at least {} longer",
                (expected - found) * self.recipe.stride
            )));
        }
        self.check_finite(name, output)
    }
}

fn names(list: &[TensorInfo]) -> String {
    list.iter().map(TensorInfo::to_string).collect::<Vec<_>>().join(", ")
}
