//! The real input: a Debian with nginx in it, published, limited and fetched.

use tare_integration::images::nginx_tar;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

const WELCOME: &str = "Welcome to nginx!";

/// `docker import` of the image.
fn import(host: &Host) {
    let change = r#"-c 'CMD ["nginx", "-g", "daemon off;"]' -c 'EXPOSE 80'"#;
    let tar = nginx_tar();
    host.docker(&format!("import {change} {} nginx", tar.display())).ok();
}

#[test]
fn a_web_server_from_packages_is_published_and_limited() {
    on_host(|host| {
        import(host);
        host.docker("run -d -p 8080:80 --name webserver -m 64m nginx").ok();
        until_true("the page", || host.fetch("http://127.0.0.1:8080/").contains(WELCOME));

        let address = host.inspect("webserver", "{{.NetworkSettings.IPAddress}}");
        host.docker(&format!("run --rm busybox wget -qO- http://{address}/"))
            .code(0)
            .stdout_has(WELCOME);
        let limit = host.cgroup_file("webserver", &["memory.max", "memory.limit_in_bytes"]);
        assert_eq!(limit.trim(), "67108864");
        host.docker("ps --format '{{.Image}} {{.Ports}} {{.Names}}'")
            .stdout_has("nginx 0.0.0.0:8080->80/tcp");
        host.docker("exec webserver nginx -v").code(0).stderr_has("nginx version");
        host.docker("top webserver").code(0).stdout_has("nginx: worker process");
        host.docker("stop webserver").ok();
        assert_eq!(host.inspect("webserver", "{{.State.ExitCode}}"), "0");
        assert_eq!(host.fetch("http://127.0.0.1:8080/"), "");
    });
}
