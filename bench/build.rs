//! Tells the program which compiler has built it.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    println!("cargo:rustc-env=DUGONG_BENCH_RUSTC={}", String::from_utf8_lossy(&output.stdout).trim_end());
    println!("cargo:rerun-if-changed=build.rs");
}
