//! Holes that container engines have had, each shown to be closed here.

use std::os::linux::fs::MetadataExt;

use tare_integration::on_host;

/// A masked file is covered by a null device. Were it the host's, then root in the container, who
/// may change the mode of what it can name, could lock the host out of its own /dev/null.
#[test]
fn a_masked_file_is_not_the_hosts_null_device() {
    on_host(|host| {
        let hosts = std::fs::metadata("/dev/null").unwrap().st_dev().to_string();
        let ran = host.docker("run --rm busybox stat -c %d /proc/keys /dev/null");
        let devices: Vec<&str> = ran.ok().lines().collect();
        assert_eq!(devices.len(), 2);
        assert!(devices.iter().all(|device| *device != hosts), "{devices:?} on the host's {hosts}");
        host.docker("run --rm busybox chmod 640 /proc/keys").code(1).stderr_has("Read-only");
    });
}
