//! Numbers for Prometheus.

use tare_integration::{on_host_with, until_true};

#[test]
fn numbers_are_served_under_dockers_names() {
    on_host_with(&["--metrics-addr=127.0.0.1:9323"], |host| {
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("create --name c2 busybox").ok();
        let text = host.fetch("http://127.0.0.1:9323/metrics");
        for line in [
            "# TYPE engine_daemon_container_actions_seconds histogram",
            "engine_daemon_container_actions_seconds_count{action=\"create\"} 2",
            "engine_daemon_container_actions_seconds_count{action=\"start\"} 1",
            "engine_daemon_container_states_containers{state=\"running\"} 1",
            "engine_daemon_container_states_containers{state=\"stopped\"} 1",
            "engine_daemon_engine_cpus_cpus ",
            "engine_daemon_engine_info{",
            "engine_daemon_events_total ",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        // Nothing else is to be had there.
        let status = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
        let url = "http://127.0.0.1:9323/containers/json";
        host.run("curl", &[&status[..], &[url]].concat()).stdout("404");
        host.docker("rm -f c1 c2").ok();
        until_true("no container running", || {
            host.fetch("http://127.0.0.1:9323/metrics").contains("{state=\"running\"} 0")
        });
    });
}
