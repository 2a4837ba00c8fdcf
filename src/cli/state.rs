//! `portcullis state`: what plugins keep.

use clap::Subcommand;

use super::{
    Failure, Source,
    control::{ask, strange},
    output,
};
use crate::server::control::{Answer, KeptState, Request};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how much each plugin keeps
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Have a plugin forget what it keeps: its counters, locks, remembered answers
    Clear {
        /// Its name in the configuration
        plugin: String,
        /// One key alone
        key: Option<String>,
        #[command(flatten)]
        source: Source,
    },
}

/// Asks the running server.
pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    match command {
        Command::List {
            json,
            source: later,
        } => list(&source.then(later), json),
        Command::Clear {
            plugin,
            key,
            source: later,
        } => match ask(&source.then(later), Request::ClearState { plugin, key })? {
            Answer::Done { text } => {
                output::print(&format!("{text}\n"));
                Ok(())
            }
            Answer::Failed { text } => Err(Failure::Running(text)),
            _ => Err(strange()),
        },
    }
}

fn list(source: &Source, json: bool) -> Result<(), Failure> {
    match ask(source, Request::States)? {
        Answer::States { plugins } if json => {
            output::print(&output::json(&plugins)?);
            Ok(())
        }
        Answer::States { plugins } => {
            let rows: Vec<_> = plugins.iter().map(shown).collect();
            output::print(&output::table(&rows));
            Ok(())
        }
        Answer::Failed { text } => Err(Failure::Running(text)),
        _ => Err(strange()),
    }
}

fn shown(kept: &KeptState) -> [String; 2] {
    let KeptState {
        keys,
        bytes,
        limit,
        refused,
        gave_way,
        ..
    } = kept;
    let mut text = format!("{keys} keys, {bytes} of {limit} bytes");
    if *gave_way > 0 {
        text += &format!(", {gave_way} counters gave way");
    }
    if *refused > 0 {
        text += &format!(", {refused} VALUES NOT KEPT");
    }
    [kept.plugin.clone(), text]
}
