//! The man pages: one for the program, one for each command. They are made of the descriptions
//! of the command line, which `--help` shows too, and of texts that stand here beside the code.
//!
//! A page is kept in `runtime/man/`; the test here sees to it that it says what the code does.

use super::Cli;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use std::collections::BTreeMap;
use std::path::Path;

/// Set, it makes the test write the pages instead of comparing them.
const RENEW: &str = "TARE_RENEW_MAN_PAGES";

/// How a plain apostrophe is written, for formatters old and new.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// What a page says beside what `--help` does: its description, then whole sections.
fn text(page: &str) -> &'static str {
    match page {
        "tare" => include_str!("tare.roff"),
        "tare-checkpoint" => include_str!("checkpoint.roff"),
        "tare-create" => include_str!("create.roff"),
        "tare-delete" => include_str!("delete.roff"),
        "tare-events" => include_str!("events.roff"),
        "tare-exec" => include_str!("exec.roff"),
        "tare-features" => include_str!("features.roff"),
        "tare-kill" => include_str!("kill.roff"),
        "tare-list" => include_str!("list.roff"),
        "tare-pause" => include_str!("pause.roff"),
        "tare-ps" => include_str!("ps.roff"),
        "tare-restore" => include_str!("restore.roff"),
        "tare-resume" => include_str!("resume.roff"),
        "tare-run" => include_str!("run.roff"),
        "tare-spec" => include_str!("spec.roff"),
        "tare-start" => include_str!("start.roff"),
        "tare-state" => include_str!("state.roff"),
        "tare-update" => include_str!("update.roff"),
        other => panic!("{other} has no text: write one in runtime/src/command/manual/"),
    }
}

/// All pages by the names of their files.
fn pages() -> BTreeMap<String, String> {
    let mut program = Cli::command();
    program.build();
    let commands = program.get_subcommands().map(|command| {
        // They are in the program's own page.
        let mut command = command.clone().mut_args(|arg| {
            let hidden = arg.is_hide_set() || arg.is_global_set() || arg.get_id() == "help";
            arg.hide(hidden)
        });
        let usage = command.render_usage().to_string();
        command.override_usage(usage.replacen("Usage: tare ", "tare [GLOBAL OPTIONS] ", 1))
    });
    let commands: Vec<Command> = commands.collect();
    let program = program
        .override_usage("tare [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]")
        .subcommand_help_heading("COMMANDS");
    std::iter::once(program).chain(commands).map(page).collect()
}

/// The page about `command`, after the name of its file.
fn page(command: Command) -> (String, String) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let has_commands = command.has_subcommands();
    let has_options = command.get_arguments().any(|arg| !arg.is_hide_set());
    let man = Man::new(command).section("8");
    let text = text(&name);
    let (description, sections) = text.split_at(text.find(".SH ").unwrap_or(text.len()));

    // A day or a version would make every page new with each release.
    let mut page = format!(".TH {} 8 \"\" Tare\n", name.to_uppercase()).into_bytes();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    page.extend([b".SH DESCRIPTION\n", description.as_bytes()].concat());
    if has_commands {
        man.render_subcommands_section(&mut page).unwrap();
    }
    if has_options {
        man.render_options_section(&mut page).unwrap();
    }
    page.extend(sections.as_bytes());
    if name != "tare" {
        page.extend(b".SH SEE ALSO\n.BR tare (8)\n");
    }
    // What each part begins with is needed once.
    let page = String::from_utf8(page).unwrap().replace(PREAMBLE, "");
    (format!("{name}.8"), format!("{PREAMBLE}{page}"))
}

#[test]
fn the_man_pages_say_what_the_command_line_is() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    if std::env::var_os(RENEW).is_some() {
        for (name, page) in pages() {
            std::fs::write(directory.join(name), page).unwrap();
        }
    }
    let kept: BTreeMap<String, String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let page = std::fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), page)
        })
        .collect();
    let made = pages();
    assert_eq!(
        kept.keys().collect::<Vec<_>>(),
        made.keys().collect::<Vec<_>>(),
        "remove or add pages in runtime/man: {RENEW}=1 cargo nextest run -p tare man_pages"
    );
    for (name, page) in made {
        let is_same = kept.get(&name) == Some(&page);
        assert!(
            is_same,
            "runtime/man/{name} is out of date: {RENEW}=1 cargo nextest run -p tare man_pages"
        );
    }
}
