//! `-it`: a real terminal, with a person at it.

use tare_integration::terminal::{DETACH, INTERRUPT, Terminal};
use tare_integration::{Host, on_host, until};

/// Starts it and waits for the shell's prompt: only then is the terminal in raw mode.
fn at_prompt(host: &Host, typed: &str) -> Terminal {
    let terminal = host.docker_at_terminal(typed);
    terminal.wait_for("# ");
    terminal
}

#[test]
fn the_shell_has_a_terminal_of_the_windows_size_and_follows_it() {
    on_host(|host| {
        let mut terminal = at_prompt(host, "run -it --rm --name c1 busybox sh");
        terminal.write(b"tty; stty size; echo TERM=$TERM\n");
        terminal.wait_for("/dev/pts/0");
        terminal.wait_for("24 80");
        terminal.wait_for("TERM=xterm");
        terminal.resize(33, 101);
        // The size travels by a request of its own.
        until("the new size", || {
            terminal.write(b"stty size\n");
            terminal.screen().contains("33 101").then_some(())
        });
        terminal.write(b"exit 5\n");
        assert_eq!(terminal.wait(), 5);
    });
}

#[test]
fn ctrl_c_interrupts_the_program_and_not_the_client() {
    on_host(|host| {
        let mut terminal = at_prompt(host, "run -it --rm busybox sh");
        terminal.write(b"sleep 1000 || echo sleep=$?\n");
        // Before sleep runs, it would interrupt only the shell's own line.
        until("the interrupt", || {
            terminal.write(INTERRUPT);
            terminal.write(b"echo still-here\n");
            terminal.screen().contains("still-here\r\n").then_some(())
        });
        terminal.write(b"exit 0\n");
        assert_eq!(terminal.wait(), 0);
    });
}

#[test]
fn one_can_detach_and_attach_again() {
    on_host(|host| {
        let mut terminal = at_prompt(host, "run -it --name c1 busybox sh");
        terminal.write(b"word=kept; echo ready\n");
        terminal.wait_for("ready\r\n");
        terminal.write(DETACH);
        assert_eq!(terminal.wait(), 0);
        assert_eq!(host.inspect("c1", "{{.State.Status}}"), "running");

        let mut terminal = host.docker_at_terminal("attach c1");
        terminal.write(b"echo word=$word\n");
        terminal.wait_for("word=kept");
        terminal.write(b"exit 7\n");
        assert_eq!(terminal.wait(), 7);
        assert_eq!(host.inspect("c1", "{{.State.ExitCode}}"), "7");
    });
}

#[test]
fn other_keys_can_be_chosen_to_detach() {
    on_host(|host| {
        let mut terminal = at_prompt(host, "run -it --detach-keys ctrl-x,d --name c1 busybox sh");
        terminal.write(b"echo ready\n");
        terminal.wait_for("ready\r\n");
        terminal.write(b"\x18d");
        assert_eq!(terminal.wait(), 0);
        assert_eq!(host.inspect("c1", "{{.State.Status}}"), "running");
    });
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let mut terminal = at_prompt(host, "exec -it c1 sh");
        terminal.write(b"stty size; tty\n");
        terminal.wait_for("24 80");
        terminal.resize(40, 120);
        until("the new size", || {
            terminal.write(b"stty size\n");
            terminal.screen().contains("40 120").then_some(())
        });
        terminal.write(b"exit 9\n");
        assert_eq!(terminal.wait(), 9);
        assert_eq!(host.inspect("c1", "{{.State.Running}}"), "true");
    });
}

#[test]
fn a_terminals_output_is_logged_too() {
    on_host(|host| {
        host.docker("run -t --name c1 busybox echo hello").code(0).stdout("hello\r\n");
        host.docker("logs c1").code(0).stdout("hello\r\n");
    });
}
