//! How `tare` is linked: at a fixed address and with an entry of its own.
//!
//! It starts once for every container, so what happens before `main` counts. At a fixed address it
//! has none of the 14,000 addresses to correct that it has elsewhere, on 70 pages that no process
//! could share; its stack and its heap are still where chance puts them. The entry is in
//! `src/linux/entry.rs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in ["-static", "-no-pie", "-Wl,--entry=tare_entry"] {
        println!("cargo:rustc-link-arg-bin=tare={argument}");
    }
}
