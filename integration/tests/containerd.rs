//! The shim under a stock containerd, by `ctr`: what containerd's own shim does, ours does.

use tare_integration::containerd::{Containerd, IMAGE, on_containerd};
use tare_integration::programs;
use tare_integration::wait::until_true;

/// Starts a container that runs until it is ended.
#[track_caller]
fn sleeper(machine: &Containerd, id: &str) {
    machine.ctr_run(&format!("-d {IMAGE} {id} sleep 1000")).ok();
    machine.wait_for_status(id, "RUNNING");
}

/// Ends it, and all that there was for it.
#[track_caller]
fn remove(machine: &Containerd, id: &str) {
    machine.ctr(&format!("task rm --force {id}"));
    machine.ctr(&format!("container rm {id}")).ok();
}

#[test]
fn a_container_runs_to_its_end() {
    on_containerd(|machine| {
        let script = "'echo out; echo err >&2; exit 7'";
        let ran = machine.ctr_run(&format!("--rm {IMAGE} ends sh -c {script}"));
        ran.code(7).stdout("out\n").stderr_has("err");
        machine
            .ctr_run(&format!("--rm {IMAGE} nothing no-such-program"))
            .code(1)
            .stderr_has("executable file not found in $PATH");
        let maps = "--uidmap 0:100000:65536 --gidmap 0:100000:65536";
        machine
            .ctr_run(&format!("--rm {maps} {IMAGE} mapped awk '{{print $2}}' /proc/self/uid_map"))
            .stdout("100000\n");
        machine
            .ctr_run(&format!("--rm --memory-limit 67108864 {IMAGE} oom sh -c 'tail /dev/zero'"))
            .code(137);
    });
}

#[test]
fn the_shim_is_found_by_its_path_too() {
    on_containerd(|machine| {
        let shim = programs::directory().join("containerd-shim-tare-v2");
        let run = format!("run --rm --runtime {} {IMAGE} by-path echo hello", shim.display());
        machine.ctr(&run).code(0).stdout("hello\n");
    });
}

#[test]
fn processes_are_exec_d_in_it() {
    on_containerd(|machine| {
        sleeper(machine, "execs");
        let exec = |typed: &str| machine.ctr(&format!("task exec --exec-id e1 {typed}"));
        exec("execs sh -c 'echo in; exit 5'").code(5).stdout("in\n");
        exec("--user 1000 --cwd /tmp execs sh -c 'id -u; pwd'").code(0).stdout("1000\n/tmp\n");
        exec("execs no-such-program").code(1).stderr_has("executable file not found in $PATH");
        machine.ctr("task exec --detach --exec-id e2 execs sleep 1000").ok();
        machine.ctr("task exec --exec-id e2 execs true").code(1).stderr_has("already exists");
        let listed = machine.ctr("task ps execs");
        listed.stdout_has("e2");
        assert_eq!(listed.lines().len(), 3, "{listed:?}");
        machine.ctr("task kill --exec-id e2 --signal KILL execs").ok();
        until_true("the exec's end", || machine.ctr("task ps execs").lines().len() == 2);
        machine.ctr("task kill --exec-id e3 execs").code(1).stderr_has("process does not exist e3");
        remove(machine, "execs");
    });
}

#[test]
fn each_state_has_its_actions() {
    on_containerd(|machine| {
        sleeper(machine, "states");
        machine.ctr("task resume states").code(1).stderr_has("cannot resume a running");
        machine.ctr("task rm states").code(1).stderr_has("must be stopped before deletion");
        machine.ctr("task start states").code(1).stderr_has("already exists");
        machine.ctr("task pause states").ok();
        machine.wait_for_status("states", "PAUSED");
        machine.ctr("task pause states").code(1).stderr_has("cannot pause a paused");
        machine.ctr("task exec --exec-id e1 states true").code(1).stderr_has("cannot exec in a");
        machine.ctr("task resume states").ok();
        machine.wait_for_status("states", "RUNNING");
        machine.ctr("task metrics states").stdout_has("pids.current");
        machine.ctr("task kill --signal KILL states").ok();
        machine.wait_for_status("states", "STOPPED");
        machine.ctr("task kill states").code(1).stderr_has("process already finished");
        machine.ctr("task pause states").code(1).stderr_has("cannot pause a stopped");
        machine.ctr("task rm states").code(0);
        machine.ctr("container rm states").ok();
    });
}

#[test]
fn containerd_is_told_what_happens_in_order() {
    on_containerd(|machine| {
        let events = machine.events();
        sleeper(machine, "told");
        machine.ctr("task exec --exec-id e1 told sh -c 'exit 5'").code(5);
        machine.ctr("task exec --detach --exec-id e2 told sleep 1000").ok();
        machine.ctr("task pause told").ok();
        machine.ctr("task resume told").ok();
        machine.ctr("task kill --signal KILL told").ok();
        machine.wait_for_status("told", "STOPPED");
        machine.ctr("task rm told").code(0);
        events.wait_for_stdout("/tasks/delete");
        machine.ctr("container rm told").ok();
        let all = events.stdout();
        let heard: Vec<_> = all
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("/tasks/")))
            .collect();
        let expected = "create start exec-added exec-started exit exec-added exec-started \
                        paused resumed exit exit delete";
        let expected: Vec<_> = expected.split(' ').map(|topic| format!("/tasks/{topic}")).collect();
        assert_eq!(heard, expected);
        let ends: Vec<_> = all.lines().filter(|line| line.contains("/tasks/exit")).collect();
        assert!(ends[1].contains("\"e2\"") && ends[2].contains("\"id\":\"told\""), "{ends:?}");
    });
}

#[test]
fn terminals_have_the_size_of_their_windows() {
    on_containerd(|machine| {
        // It is told the size again with each change, and says what it sees.
        let watch = "'trap \"stty size\" WINCH; echo ready; while :; do read -t 1 line && exit $line; done'";
        let run = format!("run --rm --tty --runtime {}", machine.runtime());
        let mut terminal = machine.ctr_at_terminal(&format!("{run} {IMAGE} tty sh -c {watch}"));
        terminal.wait_for("ready");
        // ctr hears of no change that comes before it listens.
        until_true("the new size", || {
            terminal.resize(40, 99);
            terminal.resize(40, 100);
            terminal.screen().contains("40 100")
        });
        terminal.resize(41, 101);
        terminal.wait_for("41 101");
        terminal.write(b"4\n");
        assert_eq!(terminal.wait(), 4);

        sleeper(machine, "tty-exec");
        let mut terminal = machine
            .ctr_at_terminal("task exec --tty --exec-id e1 tty-exec sh -c 'tty; read x; exit $x'");
        terminal.wait_for("/dev/pts/0");
        terminal.write(b"6\n");
        assert_eq!(terminal.wait(), 6);
        remove(machine, "tty-exec");
    });
}

#[test]
fn input_ends_when_its_writer_closes_it() {
    on_containerd(|machine| {
        let run = format!("run --rm --runtime {} {IMAGE} input", machine.runtime());
        let mut running = machine.ctr_running(&format!("{run} sh -c 'echo ready; cat; echo end'"));
        running.wait_for_stdout("ready");
        running.write(b"a\nb\n");
        running.wait_for_stdout("b");
        running.close_stdin();
        running.wait().code(0).stdout("ready\na\nb\nend\n");
    });
}

#[test]
fn output_goes_where_it_is_sent() {
    on_containerd(|machine| {
        let logs = machine.scratch("logs");
        let file = logs.join("file.log");
        let to_file = format!("--log-uri file://{}", file.display());
        machine
            .ctr_run(&format!("-d {to_file} {IMAGE} to-file sh -c 'echo out; echo err >&2'"))
            .ok();
        machine.wait_for_status("to-file", "STOPPED");
        let mut lines: Vec<_> =
            std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["err", "out"]);
        remove(machine, "to-file");

        let fifos = machine.scratch("fifos");
        let places = format!("--fifo-dir {}", fifos.display());
        machine
            .ctr_run(&format!("--rm {places} {IMAGE} fifos echo hello"))
            .code(0)
            .stdout("hello\n");
    });
}

#[test]
fn containers_outlive_containerd() {
    on_containerd(|machine| {
        sleeper(machine, "outlives");
        sleeper(machine, "ends-alone");
        machine.kill_containerd();
        let pid = machine.pid_of("sleep 1000").expect("containers run");
        machine.start_containerd();
        assert_eq!(machine.pid_of("sleep 1000"), Some(pid));
        machine.ctr("task exec --exec-id e1 outlives sh -c 'exit 5'").code(5);

        machine.kill_containerd();
        let ends = machine.pid_of("sleep 1000").expect("containers run");
        machine.kill(&ends);
        machine.start_containerd();
        // containerd itself forgets a task that it finds without any process.
        until_true("an end being told that came while containerd was away", || {
            let states = ["outlives", "ends-alone"].map(|id| machine.status(id));
            states.iter().filter(|state| *state == "RUNNING").count() == 1
        });
        remove(machine, "outlives");
        remove(machine, "ends-alone");
    });
}

#[test]
fn nothing_is_left_of_a_shim_that_was_killed() {
    on_containerd(|machine| {
        let events = machine.events();
        sleeper(machine, "bereft");
        let shim = machine.pid_of("-id bereft").expect("its shim runs");
        machine.kill(&shim);
        events.wait_for_stdout("/tasks/delete");
        events.wait_for_stdout("137");
        until_true("no task being left", || machine.status("bereft").is_empty());
        assert_eq!(machine.pid_of("sleep 1000"), None);
        machine.ctr("container rm bereft").ok();
        // It can be run again.
        sleeper(machine, "bereft");
        remove(machine, "bereft");
    });
}
