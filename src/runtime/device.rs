// SPDX-License-Identifier: MPL-2.0
//! What `device` means: ONNX Runtime's execution providers by short names.

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProvider, ExecutionProviderDispatch};

use super::RuntimeError;

/// An execution provider.
struct Provider {
    /// What users write.
    name: &'static str,
    is_there: fn() -> bool,
    make: fn(device: i32, threads: usize) -> ExecutionProviderDispatch,
    /// Whether `auto` tries it. TensorRT compiles a graph for minutes first; the others are no faster than plain CPU code
    /// on every machine.
    automatic: bool,
}

macro_rules! provider {
    ($name:literal, $type:ty, $automatic:literal, $make:expr) => {
        Provider {
            name: $name,
            is_there: || <$type>::is_available().unwrap_or(false),
            make: $make,
            automatic: $automatic,
        }
    };
}

/// The best first.
static PROVIDERS: [Provider; 10] = [
    provider!("cuda", ep::CUDA, true, |n, _| ep::CUDA::default().with_device_id(n).build()),
    provider!("tensorrt", ep::TensorRT, false, |n, _| ep::TensorRT::default().with_device_id(n).build()),
    provider!("migraphx", ep::MIGraphX, true, |n, _| ep::MIGraphX::default().with_device_id(n).build()),
    provider!("rocm", ep::ROCm, true, |n, _| ep::ROCm::default().with_device_id(n).build()),
    provider!("coreml", ep::CoreML, true, |_, _| ep::CoreML::default().build()),
    provider!("directml", ep::DirectML, true, |n, _| ep::DirectML::default().with_device_id(n).build()),
    provider!("openvino", ep::OpenVINO, false, |_, threads| openvino(threads, "f32")),
    Provider {
        name: "openvino-bf16",
        is_there: || has_bfloat16() && ep::OpenVINO::is_available().unwrap_or(false),
        make: |_, threads| openvino(threads, "bf16"),
        automatic: false,
    },
    provider!("onednn", ep::OneDNN, false, |_, _| ep::OneDNN::default().build()),
    provider!("xnnpack", ep::XNNPACK, false, |_, _| ep::XNNPACK::default().build()),
];

/// OpenVINO on the processor, which computes in `precision`.
fn openvino(threads: usize, precision: &str) -> ExecutionProviderDispatch {
    let settings = format!(r#"{{"CPU":{{"INFERENCE_PRECISION_HINT":"{precision}"}}}}"#);
    let provider = ep::OpenVINO::default().with_device_type("CPU").with_num_threads(threads);
    provider.with_arbitrary_config("load_config", settings).build()
}

/// Whether the processor has instructions for bfloat16. Without them OpenVINO would imitate it, slowly.
fn has_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

/// The CPU is always there.
pub const CPU: &str = "cpu";

/// One way to run a graph: a name for the user, and what to register first; `None` = nothing, the CPU.
pub type Choice = (String, Option<ExecutionProviderDispatch>);

/// What to try for `device`, in this order; `threads` is for what computes on the processor. ONNX Runtime must be loaded.
pub fn choices(device: &str, threads: usize) -> Result<Vec<Choice>, RuntimeError> {
    let cpu = || (CPU.to_string(), None);
    let choice = |p: &Provider, n: i32| (format!("{}:{n}", p.name), Some((p.make)(n, threads).error_on_failure()));
    if device == "auto" {
        let there = PROVIDERS.iter().filter(|p| p.automatic && (p.is_there)());
        return Ok(there.map(|p| choice(p, 0)).chain([cpu()]).collect());
    }
    let (name, number) = parse(device)?;
    if name == CPU {
        return Ok(vec![cpu()]);
    }
    match PROVIDERS.iter().find(|p| p.name == name) {
        Some(provider) if (provider.is_there)() => Ok(vec![choice(provider, number)]),
        Some(_) => Err(RuntimeError(format!(
            "device=\"{device}\" is not there: this ONNX Runtime has {}. Take one that was built for it, and name its library \
             by ORT_DYLIB_PATH (for OpenVINO, the project's setup.sh --openvino), or choose device=auto",
            there()
        ))),
        None => Err(RuntimeError(format!(
            "device=\"{device}\": expected auto, cpu, or one of {} with a number, such as \"cuda:0\"; this ONNX Runtime has {}",
            PROVIDERS.iter().map(|p| p.name).collect::<Vec<_>>().join(", "),
            there()
        ))),
    }
}

/// Name and number of "name" or "name:number".
pub fn parse(device: &str) -> Result<(&str, i32), RuntimeError> {
    let Some((name, number)) = device.split_once(':') else { return Ok((device, 0)) };
    match number.parse::<u8>() {
        Ok(number) => Ok((name, number.into())),
        Err(_) => {
            Err(RuntimeError(format!("device=\"{device}\": expected a whole number from 0 to 255 behind the colon")))
        }
    }
}

/// A list of what there is.
fn there() -> String {
    let names = PROVIDERS.iter().filter(|p| (p.is_there)()).map(|p| p.name);
    [CPU].into_iter().chain(names).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_name_and_a_number() {
        assert_eq!(parse("cuda:1"), Ok(("cuda", 1)));
        assert_eq!(parse("openvino"), Ok(("openvino", 0)));
        for wrong in ["cuda:", "cuda:-1", "cuda:x", "cuda:256"] {
            assert!(parse(wrong).unwrap_err().0.contains(wrong));
        }
    }
}
