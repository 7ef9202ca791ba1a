//! `stats`: what containers use, once and as it changes.

use serde_json::Value;
use tare_integration::wait::{until, until_true};
use tare_integration::{Host, on_host};

/// Two samples of a container, a second apart, as one answer.
fn pair(host: &Host, name: &str) -> Value {
    host.get(&format!("/v1.51/containers/{name}/stats?stream=false")).json()
}

#[test]
fn a_busy_container_is_told_from_an_idle_one() {
    on_host(|host| {
        host.docker("run -d --name busy busybox sh -c 'while :; do :; done'").ok();
        host.docker("run -d --name idle --memory 64m --pids-limit 50 busybox sleep 1000").ok();
        host.docker("create --name rests busybox").ok();

        let percent = |name: &str| {
            let row = host.docker(&format!("stats --no-stream --format '{{{{.CPUPerc}}}}' {name}"));
            row.ok().trim_end_matches('%').parse::<f64>().expect("a percentage")
        };
        // However loaded the machine is, at some time it gets something done.
        until_true("a busy container", || percent("busy") > 5.0);
        until_true("an idle container", || percent("idle") < 5.0);

        let row =
            host.docker("stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' idle");
        assert!(row.ok().starts_with("idle ") && row.ok().ends_with("/ 64MiB 1"), "{row:?}");
        let format = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}";
        let rows = host.docker(&format!("stats --no-stream -a --format '{format}'"));
        assert!(rows.lines().contains(&"rests 0.00% 0B / 0B 0"), "{rows:?}");
        assert_eq!(rows.lines().len(), 3);
    });
}

#[test]
fn the_figures_are_dockers() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let sample = pair(host, "c1");
        assert_eq!(sample["name"], "/c1");
        assert!(sample["preread"].as_str() < sample["read"].as_str(), "{sample}");
        assert_eq!(sample["pids_stats"]["current"], 1);
        let cpu = |when: &str, what: &str| sample[when][what].as_u64().expect("a number");
        assert!(cpu("cpu_stats", "online_cpus") > 0);
        assert!(cpu("cpu_stats", "system_cpu_usage") > cpu("precpu_stats", "system_cpu_usage"));
        assert!(sample["cpu_stats"]["cpu_usage"]["total_usage"].as_u64() > Some(0));
        let memory = &sample["memory_stats"];
        assert!(memory["usage"].as_u64() > Some(0), "{memory}");
        assert!(memory["limit"].as_u64() < Some(1 << 60), "the machine's memory: {memory}");
        let inactive = ["total_inactive_file", "inactive_file"];
        assert!(inactive.iter().any(|name| memory["stats"][name].is_u64()), "{memory}");
        let single = host.get("/v1.51/containers/c1/stats?stream=false&one-shot=true").json();
        assert_eq!(single["preread"], "0001-01-01T00:00:00Z");
        assert!(single["precpu_stats"].get("system_cpu_usage").is_none(), "{single}");

        host.docker("kill c1").ok();
        let none = pair(host, "c1");
        assert_eq!(none["read"], "0001-01-01T00:00:00Z");
        assert_eq!(none["memory_stats"], serde_json::json!({}));
        assert!(none["blkio_stats"]["io_service_bytes_recursive"].is_null());
        assert!(none.get("networks").is_none());
        let missing = host.get("/v1.51/containers/nosuch/stats");
        assert_eq!(
            (missing.status, missing.message().as_str()),
            (404, "No such container: nosuch")
        );
    });
}

#[test]
fn each_interface_of_its_own_counts() {
    on_host(|host| {
        host.docker("run -d --name web -p 127.0.0.1:8080:80 busybox httpd -f").ok();
        host.docker("run -d --name beside --network container:web busybox sleep 1000").ok();
        host.docker("run -d --name open --network host busybox sleep 1000").ok();
        host.docker("run -d --name alone --network none busybox sleep 1000").ok();
        let before = pair(host, "web")["networks"]["eth0"]["rx_bytes"].as_u64().expect("a number");
        let _ = host.running("wget", &["-q", "-O-", "http://127.0.0.1:8080/"]).wait();
        until_true("traffic", || {
            pair(host, "web")["networks"]["eth0"]["rx_bytes"].as_u64() > Some(before)
        });
        assert!(pair(host, "beside")["networks"]["eth0"]["tx_packets"].as_u64() > Some(0));
        for name in ["open", "alone"] {
            assert!(pair(host, name).get("networks").is_none(), "{name}");
        }
    });
}

#[test]
fn followers_see_the_end() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let socket = host.places().socket.display().to_string();
        let mut follower = host
            .running("curl", &["-sN", "--unix-socket", &socket, "http://d/containers/c1/stats"]);
        let samples = || -> Vec<Value> {
            let text = follower.stdout();
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        };
        let two = until("two samples", || Some(samples()).filter(|samples| samples.len() > 1));
        // The first has none before it; the second has the first.
        assert!(two[0]["precpu_stats"].get("system_cpu_usage").is_none());
        assert_eq!(two[1]["preread"], two[0]["read"]);
        host.docker("kill c1").ok();
        until_true("a sample of nothing", || {
            samples().last().is_some_and(|sample| sample["read"] == "0001-01-01T00:00:00Z")
        });
        host.docker("start c1").ok();
        until_true("a sample of the next run", || {
            samples().last().is_some_and(|sample| sample["pids_stats"]["current"] == 1)
        });
        host.docker("rm -f c1").ok();
        until_true("the end of the stream", || !follower.is_running());
    });
}
