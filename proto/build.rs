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
    builds()
}

/// What builds speak with their clients: a tree of modules as the packages are, in one file.
fn builds() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "containerd/content.proto",
        "grpc/health.proto",
        "moby/auth.proto",
        "moby/control.proto",
        "moby/filesync.proto",
        "moby/gateway.proto",
        "moby/secrets.proto",
        "moby/ssh.proto",
        "moby/upload.proto",
        "opentelemetry/trace.proto",
    ];
    tonic_prost_build::configure()
        .btree_map(".")
        // Contents of files and streams aren't copied out of what arrives.
        .bytes(".containerd.services.content.v1")
        .bytes(".fsutil.types.Packet.data")
        .bytes(".moby.buildkit.v1.BytesMessage")
        .bytes(".moby.buildkit.v1.VertexLog")
        .bytes(".moby.filesync.v1.BytesMessage")
        .bytes(".moby.sshforward.v1")
        .bytes(".moby.upload.v1")
        .include_file("builds.rs")
        .compile_fds(protox::compile(files, ["proto"])?)?;
    Ok(())
}
