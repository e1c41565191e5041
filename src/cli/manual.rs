//! `--man` and `--completions SHELL`: manual pages and completions, made from the definition of
//! each tool.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::ui::{Failure, Format, Output};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

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
                .value_parser(PossibleValuesParser::new(SHELLS))
                .help("Print a script that completes options in a shell"),
        )
}

/// Prints the manual page or the completions if the first argument asks for them. Returns whether
/// it did.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(command: &Command, args: &[OsString]) -> Result<bool, Failure> {
    let words: Vec<&[u8]> = args.iter().skip(1).map(|word| word.as_bytes()).collect();
    let shell: &[u8] = match words.as_slice() {
        [b"--man"] => {
            let page = page(command).map_err(|e| Failure::failed(format!("writing the manual page: {e}")))?;
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
    let Some(shell) = std::str::from_utf8(shell).ok().filter(|name| SHELLS.contains(name)) else {
        return Ok(false);
    };
    let Ok(shell) = Shell::from_str(shell, false) else { return Ok(false) };
    let mut script = Vec::new();
    let mut command = command.clone();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Output::new(Format::Plain).write(&script)?;
    Ok(true)
}

/// The manual page. A tool with subcommands has one page for all of them, with a section for each.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
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

/// The text with troff's special characters escaped.
fn roff_text(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\*(Aq")
}
