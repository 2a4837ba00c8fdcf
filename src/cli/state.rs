//! `portcullis state`: what plugins keep.

use clap::Subcommand;

use http::Method;

use super::{
    Failure, Source,
    control::{act, escaped, get},
    output,
};
use crate::server::admin::messages::{KeptState, States};

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
        } => {
            let key = key.map(|key| format!("?key={}", escaped(&key)));
            let path = format!("/state/{}{}", escaped(&plugin), key.unwrap_or_default());
            act(&source.then(later), Method::DELETE, &path, None::<&()>)
        }
    }
}

fn list(source: &Source, json: bool) -> Result<(), Failure> {
    let States { plugins } = get(source, "/state")?;
    let text = match json {
        true => output::json(&plugins)?,
        false => output::table(&plugins.iter().map(shown).collect::<Vec<_>>()),
    };
    output::print(&text);
    Ok(())
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
