//! `portcullis token`: who may use the page and the API over TCP.

use clap::Subcommand;

use super::{Failure, Source, output};
use crate::server::admin::tokens::{Role, Tokens};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token, and tell it: here and never again
    Add {
        /// A name for it, which the log tells with what its holder does
        name: String,
        /// The rights of its holder
        #[arg(long, value_enum, default_value = "look")]
        role: Role,
        #[command(flatten)]
        source: Source,
    },
    /// List the tokens
    List {
        #[command(flatten)]
        source: Source,
    },
    /// Remove a token, whose holder is let in no more
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        source: Source,
    },
}

/// Reads and writes the file; a running server sees the change at the next request.
pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add {
            name,
            role,
            source: later,
        } => {
            let proper = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
            if name.is_empty() || name.len() > 64 || !name.chars().all(proper) {
                let text = format!("{name:?}: a name has up to 64 letters, digits, and - _ .");
                return Err(Failure::Running(text));
            }
            let mut tokens = Tokens::read(&source.then(later).state()?)?;
            let token = tokens.add(&name, role)?;
            output::print(&format!("{}\n", *token));
            Ok(())
        }
        Command::List { source: later } => {
            let tokens = Tokens::read(&source.then(later).state()?)?;
            let mut rows = vec![["NAME", "ROLE", "SINCE"].map(str::to_owned)];
            rows.extend(tokens.all().iter().map(|(name, token)| {
                let role = match token.role {
                    Role::Look => "look",
                    Role::Act => "act",
                };
                [name.clone(), role.to_owned(), token.created.clone()]
            }));
            output::print(&output::table(&rows));
            Ok(())
        }
        Command::Remove {
            name,
            source: later,
        } => {
            Tokens::read(&source.then(later).state()?)?.remove(&name)?;
            output::print(&format!("the token {name} is removed\n"));
            Ok(())
        }
    }
}
