//! `portcullis plugin`.

mod componentize;
mod inspect;

use super::{Failure, files, output};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    #[command(flatten)]
    Inspect(inspect::Command),
    /// Make a component of a module that a compiler made
    Componentize(componentize::Arguments),
}

pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Inspect(command) => inspect::run(command),
        Command::Componentize(arguments) => componentize::run(arguments),
    }
}
