//! How the shim is linked: at a fixed address, where it has no addresses to correct. Elsewhere it has
//! thousands, on pages that could not be shared any more, and there is one shim for each container;
//! its stack and its heap are still where chance puts them.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in ["-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
