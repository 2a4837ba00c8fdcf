//! `portcullis plugin`.

use std::{fs, path::PathBuf};

use super::{Failure, files, output};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say what a component decides, what it imports, and what it has to be granted
    Inspect {
        /// The component: a .wasm file
        file: PathBuf,
    },
}

pub fn run(command: &Command) -> Result<(), Failure> {
    let Command::Inspect { file } = command;
    let bytes = fs::read(file).map_err(|error| files::failed(file, "read", &error))?;
    let report = crate::plugin::inspect(&bytes)
        .map_err(|error| Failure::Running(format!("{}: {}", file.display(), error.text)))?;
    output::print(&report.to_string());
    Ok(())
}
