//! `docker run`: what a container prints, is given and returns.

use tare_integration::{BUSYBOX, on_host};

#[test]
fn in_the_foreground_it_gives_the_output_and_the_exit_code() {
    on_host(|host| {
        let ran =
            host.docker(&["run", "--rm", BUSYBOX, "sh", "-c", "echo out; echo err >&2; exit 3"]);
        ran.code(3).stdout("out\n");
        assert_eq!(ran.stderr, "err\n");
    });
}
