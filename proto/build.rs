//! Compiles the wire formats of `proto/` into Rust, without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "containerd/task.proto",
        "containerd/events.proto",
        "containerd/events_service.proto",
        "containerd/runc_options.proto",
        "containerd/linux_runc_options.proto",
        "containerd/cgroups_v1.proto",
        "containerd/cgroups_v2.proto",
        "docker/logdriver.proto",
        "tare/shim.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        // Output is handed to many clients at once: shared, not copied.
        .bytes(".tare.shim.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
