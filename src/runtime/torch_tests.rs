// SPDX-License-Identifier: MPL-2.0
//! The graphs are in tests/torchscript, with their recipe.

use super::*;
use crate::runtime::{self, Backend};

fn graph(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torchscript").join(name)
}

fn open(name: &str) -> Result<TorchSession, RuntimeError> {
    TorchSession::open(&graph(name), &Options { backend: Backend::Torch, device: "cpu".into(), threads: 1 })
}

fn error(name: &str) -> String {
    let error = open(name).err().unwrap_or_else(|| panic!("{name} opens")).0;
    assert!(error.contains(name), "{error}");
    error
}

/// What a graph of one input, x, says to `data`, in rows of four.
fn run(session: &mut TorchSession, data: &[f32], outputs: &[&str]) -> Result<Vec<Tensor>, RuntimeError> {
    session.run(&[("x", &Tensor::new([data.len() / 4, 4], data.to_vec()))], outputs)
}

#[test]
fn a_graph_tells_its_tensors_and_runs_any_batch() {
    let mut session = open("tensor.pt").unwrap();
    let info = |name: &str| TensorInfo { name: name.into(), shape: vec![None, Some(4)], element: Element::F32 };
    assert_eq!((session.inputs(), session.outputs()), (&[info("x")][..], &[info("y")][..]));
    assert_eq!((session.device(), session.refused().len()), ("cpu", 0));
    for batch in 1..4 {
        let data: Vec<f32> = (0..4 * batch).map(|v| v as f32).collect();
        let squares = data.iter().map(|v| v * v).collect::<Vec<_>>();
        assert_eq!(run(&mut session, &data, &["y"]).unwrap(), [Tensor::new([batch, 4], squares)]);
    }
}

#[test]
fn outputs_of_a_tuple_are_found_by_name() {
    let mut session = open("tuple.pt").unwrap();
    let made = run(&mut session, &[1.0, 2.0, 3.0, 4.0], &["right", "left"]).unwrap();
    assert_eq!(made, [Tensor::new([1, 2], vec![3.0, 4.0]), Tensor::new([1, 2], vec![1.0, 2.0])]);
    assert!(run(&mut session, &[0.0; 4], &["right", "middle"]).unwrap_err().0.contains("no output \"middle\""));
}

#[test]
fn each_tensor_has_its_element() {
    let mut session = open("list.pt").unwrap();
    let elements: Vec<Element> = session.inputs().iter().map(|info| info.element).collect();
    assert_eq!(elements, [Element::F32, Element::F16, Element::I64, Element::I32]);
    let given =
        [vec![1.0, 2.0], vec![1.0, 65000.0], vec![2.4, 1e30], vec![-3.6, -1e30]].map(|v| Tensor::new([1, 2], v));
    let inputs: Vec<(&str, &Tensor)> = ["single", "half", "long", "short"].into_iter().zip(&given).collect();
    // The order in which inputs are given does not matter.
    let inputs: Vec<_> = inputs.into_iter().rev().collect();
    let made = session.run(&inputs, &["single-out", "half-out", "long-out", "short-out"]).unwrap();
    let data: Vec<&[f32]> = made.iter().map(|tensor| tensor.data.as_slice()).collect();
    // Half precision has 11 bits: 1.0001 is 1, and 65000 is 64992. Whole numbers are rounded and end where their kind does.
    assert_eq!(data, [&[1.1, 2.1][..], &[1.0, 64992.0], &[3.0, i64::MAX as f32], &[-3.0, i32::MIN as f32 + 1.0]]);
}

#[test]
fn what_does_not_fit_is_explained() {
    let mut session = open("tensor.pt").unwrap();
    let mut given = |name, shape: &[usize]| {
        let tensor = Tensor::new(shape, vec![0.0; shape.iter().product()]);
        session.run(&[(name, &tensor)], &["y"]).unwrap_err().0
    };
    assert!(given("x", &[1, 5]).contains("input x (?, 4) does not fit: found [1, 5]"));
    assert!(given("x", &[4]).contains("found [4]"));
    assert!(given("z", &[1, 4]).contains("input x (?, 4) is missing"));
    // A failed run is the end of that run only.
    let error = run(&mut session, &[0.0, 101.0, 0.0, 0.0], &["y"]).unwrap_err().0;
    assert!(error.ends_with("tensor.pt: too great"), "{error}");
    assert!(run(&mut session, &[0.0; 4], &["y"]).is_ok());

    for (file, output, words) in [
        ("wrong-shape.pt", "y", "output y (?, 5) is not what its signature says: found [1, 4]"),
        ("wrong-count.pt", "y", "returns 2 tensors, but its signature says 1"),
        ("number.pt", "y", "neither a tensor nor a tuple or list of tensors"),
    ] {
        let error = run(&mut open(file).unwrap(), &[0.0; 4], &[output]).unwrap_err().0;
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn files_that_are_no_graph_are_explained() {
    assert!(error("unsigned.pt").contains("has no method `signature`"));
    assert!(error("wrong-text.pt").contains("missing field `outputs`"));
    assert!(error("weights.pt").contains("cannot load it as TorchScript"));
    assert!(error("make.py").contains("cannot load it as TorchScript"));
    assert!(error("absent.pt").contains("No such file"));
}

#[test]
fn devices_that_are_not_there_are_explained() {
    let open = |device: &str| {
        TorchSession::open(&graph("tensor.pt"), &Options { device: device.into(), ..Options::default() })
    };
    assert!(open("cuda:99").err().unwrap().0.contains("device=\"cuda:99\" is not there: this libtorch sees "));
    assert!(open("tensorrt:0").err().unwrap().0.contains("libtorch, which runs TorchScript, knows auto, cpu and cuda"));
    assert!(open("cuda:x").err().unwrap().0.contains("whole number"));
    let expected = if Cuda::is_available() { "cuda:0" } else { "cpu" };
    assert_eq!(open("auto").unwrap().device(), expected);
}

#[test]
fn the_file_s_kind_chooses_and_sessions_are_shared() {
    let options = Options { device: "cpu".into(), ..Options::default() };
    let first = runtime::open(&graph("tensor.pt"), &options).unwrap();
    let second = runtime::open(&graph("tensor.pt"), &options).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!(first.lock().inputs()[0].name, "x");
}

/// ATen's own counter says how many threads a run may use; the process's tasks are all there can be more.
#[test]
fn threads_are_those_asked_for() {
    for threads in [1, 2] {
        let options = Options { backend: Backend::Torch, device: "cpu".into(), threads };
        let mut session = TorchSession::open(&graph("tensor.pt"), &options).unwrap();
        run(&mut session, &[0.0; 4], &["y"]).unwrap();
        assert_eq!((tch::get_num_threads(), tch::get_num_interop_threads()), (threads as i32, 1));
    }
}
