//! Tells bpf-linker what the target specification cannot: words are loaded from wherever they stand in a packet, and
//! what is small is set and copied in place, not by a call that goes byte by byte.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("bpf") {
        println!("cargo:rustc-link-arg-bins=--cpu-features=+allows-misaligned-mem-access");
        println!("cargo:rustc-link-arg-bins=--disable-expand-memcpy-in-order");
    }
}
