//! `portcullis plugin`.

mod componentize;
mod inspect;
mod new;
mod run;

use clap::{ValueEnum, builder::PossibleValue};

use super::{Failure, Source, files, host_of, output};
use crate::plugin::PluginKind;

impl ValueEnum for &'static PluginKind {
    fn value_variants<'a>() -> &'a [Self] {
        &PluginKind::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name).help(self.decides))
    }
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    #[command(flatten)]
    Inspect(inspect::Command),
    /// Write a project: a plugin that works, to be changed
    New(new::Arguments),
    /// Make a component of a module that a compiler made
    Componentize(componentize::Arguments),
    /// Call a plugin without a server, as a case file says, and compare what comes of it
    Run(run::Arguments),
}

pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    match command {
        Command::Inspect(command) => inspect::run(source, command),
        Command::New(arguments) => new::run(&arguments),
        Command::Componentize(arguments) => componentize::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
    }
}
