//! The man page: the options as `--help` has them, and the text beside this file. It is kept in
//! `manager/daemon/man/`; the test here sees to it that it says what the code does.

use crate::options::Options;
use clap::CommandFactory;
use clap_mangen::Man;

/// Set, it makes the test write the page instead of comparing it.
const RENEW: &str = "TARE_RENEW_MAN_PAGES";

fn page() -> String {
    let command = Options::command()
        .override_usage("tared [OPTIONS]\ntared [OPTIONS] check [--format text|json]");
    let man = Man::new(command).section("8");
    let text = include_str!("tared.roff");
    let (description, sections) = text.split_at(text.find(".SH ").unwrap());
    let mut page = Vec::new();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    page.extend([b".SH DESCRIPTION\n", description.as_bytes()].concat());
    man.render_options_section(&mut page).unwrap();
    page.extend(sections.as_bytes());
    // A day or a version would make the page new with each release.
    format!(".TH TARED 8 \"\" Tare\n{}", String::from_utf8(page).unwrap())
}

#[test]
fn the_man_page_says_what_the_command_line_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/tared.8");
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).is_ok_and(|kept| kept == page()),
        "{path} is out of date: {RENEW}=1 cargo nextest run -p tared man_page"
    );
}
