//! `portcullis man` and `portcullis completions`: both are made of the command line itself.

use std::{fs, io::Write, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{CommandLine, Failure, files, output};

/// Writes a page for every command into a directory: `portcullis.1`, `portcullis-user-add.1` and so on.
pub fn pages(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| files::failed(directory, "made", &error))?;
    let mut command = CommandLine::command().disable_help_subcommand(true);
    command.build();
    let count = page(&command, directory)?;
    let shown = files::short(directory);
    output::print(&format!("wrote {count} pages to {shown}\n"));
    Ok(())
}

/// Writes the page of a command, and those of the commands in it; how many there were.
fn page(command: &Command, directory: &Path) -> Result<usize, Failure> {
    let man = Man::new(command.clone());
    let path = directory.join(man.get_filename());
    let written = render(&man, command).and_then(|text| fs::write(&path, text));
    written.map_err(|error| files::failed(&path, "written", &error))?;
    let mut count = 1;
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        count += page(inner, directory)?;
    }
    Ok(count)
}

/// The text of a page. Its date is left out, so that a page says the same whenever it is made.
fn render(man: &Man, command: &Command) -> std::io::Result<Vec<u8>> {
    let title = man.get_filename();
    let title = title.trim_end_matches(".1");
    let mut text = format!(
        "{PREAMBLE}.TH {} 1 \"\" \"{SOURCE}\" Portcullis\n",
        verbatim(title)
    );
    text.push_str(&section(|text| man.render_name_section(text))?);
    text.push_str(&section(|text| man.render_synopsis_section(text))?);
    text.push_str(&section(|text| man.render_description_section(text))?);
    if command
        .get_arguments()
        .any(|argument| !argument.is_hide_set())
    {
        text.push_str(&section(|text| man.render_options_section(text))?);
    }
    if command.has_subcommands() {
        text.push_str(&section(|text| man.render_subcommands_section(text))?);
    }
    if let Some(help) = command.get_after_help() {
        let help = help.to_string();
        let examples = help.strip_prefix("Examples:\n");
        let heading = examples.map_or("NOTES", |_| "EXAMPLES");
        text.push_str(&format!(".SH {heading}\n.nf\n"));
        for line in examples.unwrap_or(&help).lines() {
            text.push_str(&verbatim(line));
            text.push('\n');
        }
        text.push_str(".fi\n");
    }
    Ok(text.into_bytes())
}

/// Defines the apostrophe, as every section would again.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
const SOURCE: &str = concat!("portcullis ", env!("CARGO_PKG_VERSION"));

/// One section, without what stands on top of each.
fn section(render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<String> {
    let mut text = Vec::new();
    render(&mut text)?;
    let text = String::from_utf8(text).map_err(std::io::Error::other)?;
    Ok(text.strip_prefix(PREAMBLE).unwrap_or(&text).to_owned())
}

/// A line of roff that is printed as it is.
fn verbatim(line: &str) -> String {
    let line = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    match line.starts_with('.') {
        true => format!("\\&{line}"),
        false => line,
    }
}

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    // Without the commands that the server starts itself.
    let all = CommandLine::command();
    let shown = all.get_subcommands().filter(|inner| !inner.is_hide_set());
    let mut command = Command::new("portcullis")
        .version(env!("CARGO_PKG_VERSION"))
        .args(all.get_arguments().cloned())
        .subcommands(shown.cloned());
    clap_complete::generate(shell, &mut command, "portcullis", &mut text);
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    output::print(&text);
    Ok(())
}
