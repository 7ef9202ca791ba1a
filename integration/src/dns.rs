//! Name servers of a test's own, and questions to them: the program `tare-dns`.

use std::path::PathBuf;

use crate::command::{Ran, Running};
use crate::host::Host;
use crate::in_place::InPlace;
use crate::programs;
use crate::wait::until_true;

/// Where a container asks.
pub const OWN: &str = "127.0.0.11";

fn program() -> PathBuf {
    programs::directory().join("tare-dns")
}

/// A name server on the host's network that calls itself `name`; see the program for what it knows.
#[track_caller]
pub fn serve(host: &Host, address: &str, name: &str, mood: &[&str]) -> Running {
    let arguments = [&["serve", address, name], mood].concat();
    started(host.running(program().to_str().expect("text"), &arguments))
}

/// The same on a container's network.
#[track_caller]
pub fn serve_inside(host: &Host, container: &str, address: &str, name: &str) -> Running {
    let program = program();
    let inside = enter(host, container);
    let arguments = [&inside[..], &[program.display().to_string(), "serve".to_owned()]].concat();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).chain([address, name]).collect();
    started(host.running("nsenter", &arguments))
}

#[track_caller]
fn started(server: Running) -> Running {
    until_true("the name server", || server.stdout().contains("ready\n"));
    server
}

/// Lets the host's resolver have these settings.
#[track_caller]
pub fn configure<'a>(host: &'a Host, settings: &str) -> InPlace<'a> {
    let file = host.scratch("resolver").join("resolv.conf");
    std::fs::write(&file, settings).expect("write the resolver's settings");
    InPlace::of(host, file, "/etc/resolv.conf")
}

/// Runs the program on a container's network.
#[track_caller]
pub fn inside(host: &Host, container: &str, typed: &str) -> Ran {
    let program = program().display().to_string();
    let arguments = [enter(host, container), vec![program]].concat();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).chain(typed.split(' ')).collect();
    host.run("nsenter", &arguments)
}

/// The answer to `NAME TYPE [tcp] [edns]`, asked by a container of its own name server.
#[track_caller]
pub fn ask(host: &Host, container: &str, typed: &str) -> String {
    inside(host, container, &format!("ask {OWN} {typed}")).ok_untrimmed().to_owned()
}

fn enter(host: &Host, container: &str) -> Vec<String> {
    let namespace = host.inspect(container, "{{.NetworkSettings.SandboxKey}}");
    vec![format!("--net={namespace}"), "--".to_owned()]
}

/// Lets a container ask for a name again and again.
#[track_caller]
pub fn watch(host: &Host, container: &str, name: &str) -> Running {
    let program = program().display().to_string();
    let arguments = [enter(host, container), vec![program]].concat();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    host.running("nsenter", &[&arguments[..], &["watch", OWN, name]].concat())
}
