//! `fd://`: sockets that were opened before the daemon was started.

use rustix::process::Signal;
use tare_integration::command::Running;
use tare_integration::{Host, http, on_host_with, programs, until, until_true};

/// Opens sockets at these paths as the descriptors from 3 on, and becomes `tared` with the rest of
/// the arguments, as systemd does.
const ACTIVATE: &str = r#"
use Socket; use POSIX;
my @paths = split /,/, shift; my $names = shift;
my @held;
for my $n (0..$#paths) {
    socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; unlink $paths[$n];
    bind($s, sockaddr_un($paths[$n])) or die "bind: $!"; listen($s, 10) or die;
    POSIX::dup2(fileno($s), 50 + $n); push @held, $s;
}
for my $n (0..$#paths) { POSIX::dup2(50 + $n, 3 + $n); POSIX::close(50 + $n) }
$ENV{LISTEN_FDS} = @paths; $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDNAMES} = $names;
exec @ARGV or die "exec: $!";
"#;

/// Starts the daemon of this machine so.
fn activated(host: &Host, paths: &[&str], names: &str, address: &str) -> Running {
    let tared = programs::directory().join("tared").display().to_string();
    let mut arguments = host.places().arguments();
    arguments.retain(|argument| !argument.starts_with("--host="));
    arguments.push(format!("--host={address}"));
    let paths = paths.join(",");
    let mut all = vec!["-e", ACTIVATE, &paths, names, &tared];
    all.extend(arguments.iter().map(String::as_str));
    host.running("perl", &all)
}

/// Ends it.
fn end(mut daemon: Running) {
    daemon.signal(Signal::TERM);
    until_true("the daemon's end", || !daemon.is_running());
}

#[test]
fn sockets_that_were_handed_over_are_served() {
    on_host_with(&[], |host| {
        host.end_daemon(Signal::TERM);
        let directory = host.scratch("sockets");
        let (first, second) = (directory.join("a.sock"), directory.join("b.sock"));
        let paths = [first.to_str().unwrap(), second.to_str().unwrap()];
        let answers = |path: &std::path::Path| {
            http::get(path, "/_ping").ok().filter(|answer| answer.status == 200)
        };

        let daemon = activated(host, &paths, "docker.socket:other", "fd://");
        until("an answer on the first socket", || answers(&first));
        until("an answer on the second socket", || answers(&second));
        end(daemon);
        assert!(first.exists(), "whoever made the socket's file keeps it");

        let daemon = activated(host, &paths, "docker.socket:other", "fd://other");
        until("an answer on the socket of that name", || answers(&second));
        end(daemon);

        let daemon = activated(host, &paths, "", "fd://3");
        until("an answer on the socket of that number", || answers(&first));
        end(daemon);
        host.start_daemon();
    });
}

#[test]
fn without_sockets_it_is_said_so() {
    on_host_with(&[], |host| {
        host.end_daemon(Signal::TERM);
        let tared = programs::directory().join("tared").display().to_string();
        let mut arguments = host.places().arguments();
        arguments.retain(|argument| !argument.starts_with("--host="));
        arguments.push("--host=fd://".to_owned());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        host.run("timeout", &[&["30", tared.as_str()], &arguments[..]].concat())
            .code(1)
            .stderr_has("no sockets found via socket activation");
        host.start_daemon();
    });
}
