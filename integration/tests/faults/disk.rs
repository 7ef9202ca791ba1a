//! A data root on a disk of its own: a file with ext4 in it.

use rustix::process::Signal;
use tare_integration::Host;

/// The disk of a daemon, small and full at will.
pub(crate) struct SmallDisk<'a> {
    host: &'a Host,
    image: String,
    data: String,
}

impl<'a> SmallDisk<'a> {
    /// Gives the daemon, which has nothing yet, a data root on a disk of so many megabytes.
    #[track_caller]
    pub(crate) fn mount(host: &'a Host, megabytes: u32) -> Self {
        host.end_daemon(Signal::TERM);
        let image = host.scratch("disk").join("image").display().to_string();
        let data = host.places().data_root.display().to_string();
        let disk = Self { host, image, data };
        disk.run(&format!(
            "rm -rf {data}/* && truncate -s {megabytes}M {image} && mkfs.ext4 -q -m 0 {image} && \
             mount -o loop {image} {data} && rmdir {data}/lost+found",
            data = disk.data,
            image = disk.image,
        ));
        host.start_daemon();
        disk
    }

    /// Leaves so many bytes free.
    #[track_caller]
    pub(crate) fn leave(&self, bytes: u64) {
        self.free();
        // What was deleted comes back when the disk has been told.
        self.run(&format!("sync -f {}", self.data));
        let free = self.available();
        assert!(free > bytes, "the disk has {free} bytes, and {bytes} are to be left");
        // Where a file is, takes some room, too: then it takes all there is.
        self.run(&format!(
            "fallocate -l {} {data}/fill || cat /dev/zero >{data}/fill || true",
            free - bytes,
            data = self.data,
        ));
    }

    /// Frees it.
    #[track_caller]
    pub(crate) fn free(&self) {
        self.run(&format!("rm -f {}/fill", self.data));
    }

    /// Bytes that are free.
    #[track_caller]
    pub(crate) fn available(&self) -> u64 {
        let free = self.host.run("df", &["-B1", "--output=avail", &self.data]);
        free.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number")
    }

    /// Has the disk refuse every further write, as one does that has found itself broken.
    #[track_caller]
    pub(crate) fn abort(&self) {
        self.run(&format!("mount -o remount,abort {}", self.data));
    }

    /// Mends the file system, whose daemon is gone, and mounts it again.
    #[track_caller]
    pub(crate) fn mend(&self) {
        // 1: errors were corrected.
        self.run(&format!(
            "umount {data} && {{ e2fsck -fy {image} >&2 || [ $? = 1 ]; }} && \
             mount -o loop {image} {data} && rm -rf {data}/lost+found",
            data = self.data,
            image = self.image,
        ));
    }

    /// Gives the daemon its old data root back.
    #[track_caller]
    pub(crate) fn unmount(self) {
        self.host.remove_everything();
        self.host.end_daemon(Signal::TERM);
        self.run(&format!("umount {}", self.data));
        self.host.start_daemon();
    }

    #[track_caller]
    fn run(&self, script: &str) {
        self.host.run("sh", &["-ec", script]).ok();
    }
}
