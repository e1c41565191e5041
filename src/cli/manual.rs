//! `--man` and `--completions SHELL`: manual pages and completions, made from the definition of
//! each tool.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;

use super::completions::scripts::Shell;
use crate::ui::{Failure, Format, Output};

/// The definition with the two options, which the short help leaves out.
pub fn with_options(command: Command) -> Command {
    let option = |name: &'static str| {
        Arg::new(name).long(name).exclusive(true).hide_short_help(true).help_heading("Common options")
    };
    command
        .arg(option("man").action(ArgAction::SetTrue).help(
            "Print the manual page, to read with `TOOL --man \
                                                            | man -l -`",
        ))
        .arg(
            option("completions")
                .value_name("SHELL")
                .value_parser(PossibleValuesParser::new(Shell::names()))
                .help("Print a script that completes options and values in a shell"),
        )
}

/// A section of a manual page.
#[derive(Debug)]
pub struct Section {
    /// Its title.
    pub title: &'static str,
    /// Its text.
    pub paragraphs: Vec<String>,
}

/// Prints the manual page or the completions if the first argument asks for them. Returns whether
/// it did.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(command: &Command, args: &[OsString]) -> Result<bool, Failure> {
    print_with(command, args, &[])
}

/// The same as [`print()`], with more sections at the end of the manual page.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_with(command: &Command, args: &[OsString], more: &[Section]) -> Result<bool, Failure> {
    let words: Vec<&[u8]> = args.iter().skip(1).map(|word| word.as_bytes()).collect();
    let shell: &[u8] = match words.as_slice() {
        [b"--man"] => {
            let failed = |e| Failure::failed(format!("writing the manual page: {e}"));
            let mut page = page(command).map_err(failed)?;
            page.extend(more.iter().flat_map(|section| section.lines().into_bytes()));
            Output::new(Format::Plain).write(&page)?;
            return Ok(true);
        }
        [b"--completions", shell] => shell,
        [word] => match word.strip_prefix(b"--completions=") {
            Some(shell) => shell,
            None => return Ok(false),
        },
        _ => return Ok(false),
    };
    // clap reports an unknown shell.
    let Some(shell) = std::str::from_utf8(shell).ok().and_then(Shell::named) else {
        return Ok(false);
    };
    // `awsb doctor` is completed by the script of `awsb`.
    let name = command.get_name();
    let program = name.split_once(' ').map_or(name, |(program, _)| program);
    Output::new(Format::Plain).write(shell.script(&[program]).as_bytes())?;
    Ok(true)
}

impl Section {
    /// The section in the language of troff.
    fn lines(&self) -> String {
        let paragraphs: Vec<String> = self.paragraphs.iter().map(|text| roff_text(text)).collect();
        format!(".SH {}\n{}\n", roff_text(self.title), paragraphs.join("\n.PP\n"))
    }
}

/// The manual page. A tool with subcommands has one page for all of them, with a section for each.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // clap_mangen leaves out the meaning of an option that the short help does not list.
    let command = &command.clone().mut_args(|arg| arg.hide_short_help(false));
    // `man awsb-doctor` shows the page of `awsb doctor`, as git has it.
    let command = &command.clone().display_name(command.get_name().replace(' ', "-"));
    let man = Man::new(command.clone());
    if command.get_name() == "awsb" {
        return page_of_awsb(command);
    }
    if !command.has_subcommands() {
        man.render(&mut page)?;
        // clap_mangen has its own title for the section below the options.
        return Ok(String::from_utf8_lossy(&page).replace("\n.SH EXTRA\n", "\n.SH NOTES\n").into_bytes());
    }
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    for part in command.get_subcommands() {
        // The options of all subcommands are those of the tool.
        let title = format!("{} {}", command.get_name(), part.get_name());
        let about = part.get_about().map(ToString::to_string).unwrap_or_default();
        let part = Man::new(part.clone().bin_name(&title).disable_help_flag(true));
        let mut text = Vec::new();
        part.render_synopsis_section(&mut text)?;
        part.render_options_section(&mut text)?;
        let text = String::from_utf8_lossy(&text).replace(".SH ", ".SS ");
        let title = roff_text(&title.to_uppercase());
        page.extend_from_slice(format!(".SH {title}\n{}\n{text}", roff_text(&about)).as_bytes());
    }
    man.render_options_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// The manual page of `awsb` itself. Its tools have pages of their own.
fn page_of_awsb(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    page.extend_from_slice(b".SH COMMANDS\n");
    for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
        let about = part.get_about().map(ToString::to_string).unwrap_or_default();
        let entry = format!(".TP\n\\fBawsb {}\\fR\n{}\n", roff_text(part.get_name()), roff_text(&about));
        page.extend_from_slice(entry.as_bytes());
    }
    man.render_options_section(&mut page)?;
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(String::from_utf8_lossy(&page).replace("\n.SH EXTRA\n", "\n.SH NOTES\n").into_bytes())
}

/// The text with troff's special characters escaped.
fn roff_text(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\*(Aq")
}
