//! Builds the kernel half, so that `live::load` can embed it.
//!
//! A prebuilt object (`HDRCAP_XDP_OBJECT`) is taken as it is; else xdp-prog is compiled for BPF with `core` from source,
//! by the first toolchain that has it: the one `HDRCAP_BPF_TOOLCHAIN` names, the one in use, `debian-web`.

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain, build_ebpf};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const OBJECT_VARIABLE: &str = "HDRCAP_XDP_OBJECT";
const TOOLCHAIN_VARIABLE: &str = "HDRCAP_BPF_TOOLCHAIN";
const OBJECT_NAME: &str = "hdrcap-xdp";

/// What the cargo that builds the kernel half is told besides.
const SETTINGS: [(&str, &str); 5] = [
    // Stable compilers want it for `-Z build-std`.
    ("RUSTC_BOOTSTRAP", "1"),
    // Leaves warnings and errors of what is shown.
    ("CARGO_TERM_QUIET", "true"),
    // A caller's own setting cuts the program into units that are not inlined, which the verifier refuses.
    ("CARGO_INCREMENTAL", "0"),
    // Line information names no folder of this machine: the same source is the same object wherever it is built.
    ("CARGO_UNSTABLE_TRIM_PATHS", "true"),
    ("CARGO_PROFILE_RELEASE_TRIM_PATHS", "all"),
];

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={OBJECT_VARIABLE}");
    println!("cargo:rerun-if-env-changed={TOOLCHAIN_VARIABLE}");
    match env::var_os(OBJECT_VARIABLE) {
        Some(object) => take_prebuilt(Path::new(&object)),
        None => build(),
    }
}

fn take_prebuilt(object: &Path) -> Result<()> {
    println!("cargo:rerun-if-changed={}", object.display());
    let out = PathBuf::from(env::var("OUT_DIR")?).join(OBJECT_NAME);
    fs::copy(object, &out).with_context(|| {
        format!("{OBJECT_VARIABLE} names {}, which cannot be copied to {}", object.display(), out.display())
    })?;
    Ok(())
}

fn build() -> Result<()> {
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    for part in ["common", "xdp-prog", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", workspace.join(part).display());
    }
    if !in_path("bpf-linker") {
        bail!(
            "bpf-linker is missing, which links the kernel half; install it with\n  \
             apt-get install llvm-22-dev && LLVM_PREFIX=/usr/lib/llvm-22 \\\n  \
             cargo install bpf-linker --version 0.13 --no-default-features --features llvm-22\n\
             or name a prebuilt object in {OBJECT_VARIABLE}"
        );
    }
    let toolchain = toolchain()?;
    set(&SETTINGS);
    let root_dir = workspace.join("xdp-prog");
    let root_dir = root_dir.to_str().context("the path of the workspace is not UTF-8")?;
    let package = Package { name: "xdp-prog", root_dir, ..Package::default() };
    build_ebpf([package], Toolchain::Custom(&toolchain))
        .with_context(|| format!("the kernel half did not build with toolchain {toolchain}"))
}

fn set(settings: &[(&str, &str)]) {
    for (name, value) in settings {
        // SAFETY: the build script has this one thread, and only the cargo it starts sees the variables.
        unsafe { env::set_var(name, value) };
    }
}

/// The first toolchain that has the source of `core`.
fn toolchain() -> Result<String> {
    if let Ok(named) = env::var(TOOLCHAIN_VARIABLE) {
        if has_core(&named) {
            return Ok(named);
        }
        bail!(
            "{TOOLCHAIN_VARIABLE} names {named}, which has no rust-src; try\n  rustup component add rust-src --toolchain {named}"
        );
    }
    let in_use = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".to_owned());
    let candidates = [in_use.as_str(), "debian-web"];
    match candidates.into_iter().find(|name| has_core(name)) {
        Some(name) => Ok(name.to_owned()),
        None => bail!(
            "no toolchain has the source of core, from which the kernel half is built; try\n  \
             rustup component add rust-src\n\
             or, where that cannot be fetched,\n  \
             apt-get install rustc-web cargo-web rust-web-src && rustup toolchain link debian-web /usr\n\
             or name another toolchain in {TOOLCHAIN_VARIABLE} or a prebuilt object in {OBJECT_VARIABLE}"
        ),
    }
}

fn has_core(toolchain: &str) -> bool {
    let sysroot = Command::new("rustup").args(["run", toolchain, "rustc", "--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout);
        output.status.success()
            && Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
    })
}

fn in_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
