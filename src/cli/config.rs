//! `portcullis config`.

use clap::Subcommand;

use super::{Failure, output};
use crate::config;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the JSON schema of config.toml, with which editors complete and check it
    Schema,
    /// Print every key with type, default and text, as Markdown
    Reference,
}

pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Schema => {
            let text = serde_json::to_string_pretty(config::schema());
            output::print(&(text.map_err(|error| error.to_string())? + "\n"));
        }
        Command::Reference => output::print(&config::reference()),
    }
    Ok(())
}
