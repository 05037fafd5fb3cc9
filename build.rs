// SPDX-License-Identifier: MPL-2.0
use std::env;
use std::path::Path;

fn main() {
    gst_plugin_version_helper::info();
    // torch-sys says where it found libtorch.
    if let Some(folder) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
        // Nothing calls it by name, so the linker would leave it out, and with it the graphics card.
        if Path::new(&folder).join("libtorch_cuda.so").exists() {
            println!("cargo:rustc-link-arg=-Wl,--no-as-needed,-ltorch_cuda,--as-needed");
        }
    }
}
