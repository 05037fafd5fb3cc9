// SPDX-License-Identifier: MPL-2.0
//! An encoder's graph, opened, checked against the manifest, and run on a window.

use std::fmt::Display;
use std::path::PathBuf;

use crate::model::Model;
use crate::model::manifest::{Encoder, WindowAxis};
use crate::runtime::{self, Aside, Options, RuntimeError, SharedSession, Tensor, TensorInfo};

/// Runs the graph on windows, on a thread of its own.
pub type Listener = Aside<Vec<f32>, Result<Vec<f32>, RuntimeError>>;

pub struct Graph {
    session: SharedSession,
    file: PathBuf,
    recipe: Encoder,
    /// Numbers in a front row.
    width: usize,
    /// Answers of a window that must be there.
    answers: usize,
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
        let graph = Self {
            session,
            file,
            recipe: recipe.clone(),
            width: model.manifest.audiofeatures.front.width(),
            answers: recipe.skipped() + recipe.used(),
        };
        graph.check()?;
        graph.run(vec![0.0; recipe.window * graph.width])?;
        Ok(graph)
    }

    fn fail(&self, what: impl Display) -> RuntimeError {
        RuntimeError(format!("{}: {what}", self.file.display()))
    }

    fn check(&self) -> Result<(), RuntimeError> {
        let (inputs, outputs) = {
            let session = self.session.lock();
            (session.inputs().to_vec(), session.outputs().to_vec())
        };
        let has = |list: &[TensorInfo], name: &str| list.iter().any(|info| info.name == name);
        let names = |list: &[TensorInfo]| list.iter().map(TensorInfo::to_string).collect::<Vec<_>>().join(", ");
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
        for info in &inputs {
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

    /// The axes of the input.
    fn shape(&self) -> Vec<usize> {
        let length = |axis: &WindowAxis| match axis {
            WindowAxis::One => 1,
            WindowAxis::Row => self.recipe.window,
            WindowAxis::Width => self.width,
        };
        self.recipe.layout.iter().map(length).collect()
    }

    /// What the encoder answers to a window: at least as many rows as are skipped and used.
    pub fn run(&self, window: Vec<f32>) -> Result<Vec<f32>, RuntimeError> {
        let place = |axis| self.recipe.layout.iter().position(|found| *found == axis);
        let transposed = place(WindowAxis::Width) < place(WindowAxis::Row) && place(WindowAxis::Width).is_some();
        let window = if transposed {
            (0..self.width).flat_map(|column| window.iter().skip(column).step_by(self.width)).copied().collect()
        } else {
            window
        };
        let input = Tensor::new(self.shape(), window);
        let mut session = self.session.lock();
        let lengths = self.recipe.lengths.as_deref().map(|name| {
            let is_scalar = session.inputs().iter().any(|info| info.name == name && info.shape.is_empty());
            let shape = if is_scalar { vec![] } else { vec![1] };
            (name, Tensor::new(shape, vec![self.recipe.window as f32]))
        });
        let mut inputs = vec![(&*self.recipe.input, &input)];
        inputs.extend(lengths.as_ref().map(|(name, lengths)| (*name, lengths)));
        let output = session.run(&inputs, &[&self.recipe.output])?.pop();
        drop(session);
        let output = output.ok_or_else(|| self.fail("the graph yielded nothing"))?;
        self.check_answers(&output)?;
        Ok(output.data)
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
        if output.data.iter().any(|value| !value.is_finite()) {
            return Err(self.fail(format!("output \"{name}\" holds NaN or infinity")));
        }
        Ok(())
    }
}
