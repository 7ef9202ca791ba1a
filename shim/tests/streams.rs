//! What goes in and out of a container's processes.

// A test may stop at the first thing that is wrong, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use support::client::{Client, CreateOptions, until};
use support::{Home, bundle};
use tare_proto::containerd::task::v3 as api;
use tonic::Code;

async fn shim_with(name: &str, script: &str) -> Client {
    let home = Home::new(name);
    bundle::write(&home.bundle(), &home.id, script);
    Client::start(home).await
}

/// The same, with a terminal.
async fn terminal_with(name: &str, script: &str) -> Client {
    let home = Home::new(name);
    let mut config = bundle::write(&home.bundle(), &home.id, script);
    config["process"]["terminal"] = true.into();
    bundle::write_config(&home.bundle(), &config);
    Client::start(home).await
}

/// A container that runs until it is killed.
async fn sleeper(name: &str) -> Client {
    let mut client = shim_with(name, "sleep 1000").await;
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    client
}

async fn finish(mut client: Client) {
    client.kill("", 9).await.unwrap();
    client.wait("").await;
    client.finish().await;
}

const STDIN: CreateOptions = CreateOptions {
    stdin: true,
    stdin_once: true,
    terminal: false,
    rootfs: Vec::new(),
    log_options: Vec::new(),
    restart: None,
    health: None,
};
const TERMINAL: CreateOptions = CreateOptions {
    stdin: true,
    stdin_once: true,
    terminal: true,
    rootfs: Vec::new(),
    log_options: Vec::new(),
    restart: None,
    health: None,
};

#[tokio::test]
async fn input_sent_before_the_start_arrives_then_ends() {
    let mut client = shim_with("stdin", "cat; echo end").await;
    client.create(&STDIN).await.unwrap();
    let attached = client.attach("").await;
    attached.send(b"early ");
    attached.send(b"bird\n");
    attached.close_stdin();
    client.start_process("").await.unwrap();
    assert_eq!(attached.read_to_end().await.text(), "early bird\nend\n");
    client.finish().await;
}

#[tokio::test]
async fn without_stdin_once_input_stays_open() {
    let mut client = shim_with("stay", "cat").await;
    let options = CreateOptions { stdin_once: false, ..STDIN };
    client.create(&options).await.unwrap();
    client.start_process("").await.unwrap();
    let mut first = client.attach("").await;
    first.send(b"one\n");
    first.read_until("one\n").await;
    first.close_stdin();
    drop(first);
    let mut second = client.attach("").await;
    second.send(b"two\n");
    second.read_until("two\n").await;
    let id = client.id();
    let close = api::CloseIoRequest { id, exec_id: String::new(), stdin: true };
    client.task.close_io(close).await.unwrap();
    assert_eq!(second.read_to_end().await.text(), "two\n");
    assert_eq!(client.wait("").await, 0);
    client.finish().await;
}

#[tokio::test]
async fn a_client_that_goes_ends_input_that_is_for_it_alone() {
    let mut client = shim_with("gone", "cat; exit 4").await;
    client.create(&STDIN).await.unwrap();
    client.start_process("").await.unwrap();
    drop(client.attach("").await);
    assert_eq!(client.wait("").await, 4);
    client.finish().await;
}

#[tokio::test]
async fn what_a_client_sent_before_it_left_arrives() {
    let mut client = shim_with("leave", "head -n 1").await;
    client.create(&CreateOptions { stdin_once: false, ..STDIN }).await.unwrap();
    let attached = client.attach("").await;
    attached.send(b"last words\n");
    attached.leave();
    client.start_process("").await.unwrap();
    // The stream may end before the process does.
    attached.read_to_end().await;
    assert_eq!(client.wait("").await, 0);
    assert!(client.home.log().contains("last words"), "{}", client.home.log());
    client.finish().await;
}

#[tokio::test]
async fn input_outlives_the_connection_of_a_manager_that_died() {
    let mut client = shim_with("manager", "cat").await;
    client.create(&STDIN).await.unwrap();
    client.start_process("").await.unwrap();
    let mut attached = client.attach_over(client.other_connection().await, "").await;
    attached.send(b"before ");
    attached.read_until("before ").await;
    drop(attached);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let attached = client.attach("").await;
    attached.send(b"after");
    attached.close_stdin();
    assert_eq!(attached.read_to_end().await.text(), "after");
    client.finish().await;
}

#[tokio::test]
async fn a_terminal_is_one() {
    let mut client = terminal_with("tty", "tty; read line; stty size; echo got $line").await;
    client.create(&TERMINAL).await.unwrap();
    let id = client.id();
    let size = api::ResizePtyRequest { id, exec_id: String::new(), width: 91, height: 37 };
    client.task.resize_pty(size).await.unwrap();
    let mut attached = client.attach("").await;
    client.start_process("").await.unwrap();
    attached.read_until("/dev/pts/0").await;
    attached.send(b"hello\n");
    let output = attached.read_to_end().await.text();
    assert!(output.contains("37 91") && output.contains("got hello"), "{output:?}");
    assert_eq!(client.wait("").await, 0);
    client.finish().await;
}

#[tokio::test]
async fn the_interrupt_key_interrupts() {
    let script = "trap 'exit 9' INT; echo ready; while :; do sleep 1; done";
    let mut client = terminal_with("ctrl-c", script).await;
    client.create(&TERMINAL).await.unwrap();
    let mut attached = client.attach("").await;
    client.start_process("").await.unwrap();
    attached.read_until("ready").await;
    attached.send(b"\x03");
    assert_eq!(client.wait("").await, 9);
    client.finish().await;
}

#[tokio::test]
async fn an_exec_has_streams_of_its_own() {
    let mut client = sleeper("exec").await;
    let spec = bundle::process(&["sh", "-c", "cat; echo err >&2; exit 6"]);
    client.exec("one", spec.clone(), &STDIN).await.unwrap();
    let taken = client.exec("one", spec, &STDIN).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    let attached = client.attach("one").await;
    attached.send(b"in");
    attached.close_stdin();
    client.start_process("one").await.unwrap();
    let output = attached.read_to_end().await;
    assert_eq!((output.stdout, output.stderr), (b"in".to_vec(), b"err\n".to_vec()));
    assert_eq!(client.wait("one").await, 6);
    assert_eq!(client.delete("one").await.unwrap().exit_status, 6);
    assert_eq!(client.delete("one").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.home.log(), "");
    finish(client).await;
}

#[tokio::test]
async fn an_exec_may_have_a_terminal() {
    let mut client = sleeper("exec-tty").await;
    client.exec("t", bundle::process(&["sh"]), &TERMINAL).await.unwrap();
    let mut attached = client.attach("t").await;
    client.start_process("t").await.unwrap();
    attached.send(b"tty; exit 2\n");
    attached.read_until("/dev/pts/").await;
    assert_eq!(client.wait("t").await, 2);
    finish(client).await;
}

#[tokio::test]
async fn an_exec_can_be_killed_by_any_signal() {
    let mut client = sleeper("exec-kill").await;
    client.exec("k", bundle::process(&["sleep", "1000"]), &STDIN).await.unwrap();
    assert_eq!(client.kill("k", 9).await.unwrap_err().code(), Code::FailedPrecondition);
    client.start_process("k").await.unwrap();
    assert_eq!(client.delete("k").await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(client.kill("k", 1000).await.unwrap_err().code(), Code::InvalidArgument);
    client.kill("k", 35).await.unwrap();
    assert_eq!(client.wait("k").await, 128 + 35);
    assert_eq!(client.kill("k", 9).await.unwrap_err().code(), Code::NotFound);
    finish(client).await;
}

#[tokio::test]
async fn an_exec_that_can_not_run_says_why() {
    let mut client = sleeper("exec-fail").await;
    client.exec("f", bundle::process(&["nonesuch"]), &CreateOptions::default()).await.unwrap();
    let attached = client.attach("f").await;
    let refused = client.start_process("f").await.unwrap_err();
    let message = refused.message();
    assert!(message.starts_with("OCI runtime exec failed: "), "{message}");
    assert!(message.contains("executable file not found in $PATH"), "{message}");
    assert!(attached.read_to_end().await.stdout.is_empty());
    client.delete("f").await.unwrap();
    finish(client).await;
}

#[tokio::test]
async fn many_execs_at_once_get_all_of_their_own() {
    let mut client = sleeper("many").await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20_u32 {
        let exec_id = format!("e{number}");
        let script = format!("seq 1 {}; exit {number}", number * 500);
        let options = if number % 5 == 0 { &TERMINAL } else { &STDIN };
        client.exec(&exec_id, bundle::process(&["sh", "-c", &script]), options).await.unwrap();
        let attached = client.attach(&exec_id).await;
        let (mut task, id) = (client.task.clone(), client.id());
        running.spawn(async move {
            let start = api::StartRequest { id: id.clone(), exec_id: exec_id.clone() };
            task.start(start).await.unwrap();
            let lines = attached.read_to_end().await.text().lines().count();
            let ended = task.wait(api::WaitRequest { id, exec_id }).await.unwrap().into_inner();
            assert_eq!((ended.exit_status, lines), (number, number as usize * 500));
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    finish(client).await;
}

#[tokio::test]
async fn what_an_exec_leaves_behind_does_not_hold_up_its_end() {
    let mut client = sleeper("daemon").await;
    let script = "(until [ -e /tmp/go ]; do sleep 0.05; done; echo late; touch /tmp/alive; \
                  sleep 1000) & echo now";
    client.exec("d", bundle::process(&["sh", "-c", script]), &STDIN).await.unwrap();
    let attached = client.attach("d").await;
    client.start_process("d").await.unwrap();
    assert_eq!(client.wait("d").await, 0);
    assert_eq!(attached.read_to_end().await.text(), "now\n");
    // The daemon's own writing doesn't kill it, even when the exec is forgotten.
    client.delete("d").await.unwrap();
    let temporary = client.home.bundle().join("rootfs/tmp");
    std::fs::write(temporary.join("go"), "").unwrap();
    until("it lives", || temporary.join("alive").exists()).await;
    finish(client).await;
}

#[tokio::test]
async fn every_byte_of_a_burst_is_in_the_log_and_with_the_client() {
    let mut client = shim_with("burst", "seq 1 1000000; echo end >&2").await;
    client.create(&CreateOptions::default()).await.unwrap();
    let attached = client.attach("").await;
    client.start_process("").await.unwrap();
    let output = attached.read_to_end().await;
    let expected: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    assert!(output.text() == expected, "{} of {} bytes", output.stdout.len(), expected.len());
    let log = client.home.log();
    let lines = log.lines().filter(|line| line.contains(r#""stream":"stdout""#));
    let mut count = 0;
    for (index, line) in lines.enumerate() {
        assert!(line.starts_with(&format!("{{\"log\":\"{}\\n\",", index + 1)), "{line}");
        count += 1;
    }
    assert_eq!(count, 1_000_000);
    client.finish().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_an_exec_and_loses_nothing() {
    let mut client = sleeper("slow").await;
    let script = "dd if=/dev/zero bs=1M count=8; : > /tmp/done";
    client.exec("s", bundle::process(&["sh", "-c", script]), &STDIN).await.unwrap();
    let attached = client.attach("s").await;
    client.start_process("s").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!client.home.bundle().join("rootfs/tmp/done").exists());
    let output = attached.read_to_end().await;
    assert_eq!((output.stdout.len(), output.dropped), (8 << 20, 0));
    finish(client).await;
}

#[tokio::test]
async fn fifos_and_files_as_containerd_gives_them() {
    let home = Home::new("fifo");
    bundle::write(&home.bundle(), &home.id, "cat; echo err >&2");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    for name in ["in", "out"] {
        rustix::fs::mkfifoat(rustix::fs::CWD, home.path(name), mode).unwrap();
    }
    let mut client = Client::start(home).await;
    let path = |name: &str| client.home.path(name).display().to_string();
    let mut request = client.create_request(&CreateOptions::default());
    request.stdin = path("in");
    request.stdout = path("out");
    request.stderr = format!("file://{}", path("err"));
    let (input, output) = (client.home.path("in"), client.home.path("out"));
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::fs::File::open(output).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    client.task.create(request).await.unwrap();
    client.start_process("").await.unwrap();
    std::fs::File::options().write(true).open(input).unwrap().write_all(b"through").unwrap();
    // The writer has gone, but only CloseIO ends the input.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!reader.is_finished());
    let close = api::CloseIoRequest { id: client.id(), exec_id: String::new(), stdin: true };
    client.task.close_io(close).await.unwrap();
    assert_eq!(client.wait("").await, 0);
    client.delete("").await.unwrap();
    assert_eq!(reader.join().unwrap(), "through");
    assert_eq!(std::fs::read_to_string(client.home.path("err")).unwrap(), "err\n");
    client.shutdown().await;
}

#[tokio::test]
async fn what_can_not_be_done_is_named() {
    let mut client = shim_with("named", "true").await;
    let mut request = client.create_request(&CreateOptions::default());
    request.stdout = "file:///var/log/x?mode=1".into();
    let refused = client.task.create(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let options = vec![("colour", "red")];
    let options = CreateOptions { log_options: options, ..Default::default() };
    let refused = client.create(&options).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("'colour'"), "{}", refused.message());
    client.shutdown().await;
}

#[tokio::test]
async fn a_logging_program_gets_both_streams() {
    let mut client = shim_with("program", "echo out; echo err >&2").await;
    let kept = client.home.path("kept");
    let program = client.home.path("logger");
    // It says that it is ready, and takes its time at the end.
    let script = "#!/bin/sh\nexec 5>&-\ncat <&3 > \"$2.out\" & cat <&4 > \"$2.err\"\nwait\n\
                  echo \"$CONTAINER_NAMESPACE $1\" > \"$2.end\"\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    let uri = format!("binary://{}?--to={}", program.display(), kept.display());
    let mut request = client.create_request(&CreateOptions::default());
    (request.stdout, request.stderr) = (uri.clone(), uri);
    client.task.create(request).await.unwrap();
    client.start_process("").await.unwrap();
    assert_eq!(client.wait("").await, 0);
    client.delete("").await.unwrap();
    let read = |end: &str| std::fs::read_to_string(kept.with_extension(end)).unwrap_or_default();
    until("the program has ended", || !read("end").is_empty()).await;
    assert_eq!((read("out").as_str(), read("err").as_str()), ("out\n", "err\n"));
    assert_eq!(read("end"), "test --to\n");
    client.shutdown().await;
}

#[tokio::test]
async fn a_logging_program_that_is_missing_is_named() {
    let mut client = shim_with("noprogram", "true").await;
    let mut request = client.create_request(&CreateOptions::default());
    request.stdout = "binary:///no/such/program".into();
    let refused = client.task.create(request).await.unwrap_err();
    assert!(refused.message().contains("/no/such/program"), "{}", refused.message());
    client.shutdown().await;
}
