//! The command line.

mod check;
mod config;
mod control;
mod files;
pub mod first_start;
mod import;
mod locks;
mod manual;
mod output;
mod page;
mod plugin;
mod quarantine;
mod serve;
mod sessions;
mod state;
mod token;
mod top;
mod user;
mod users_file;

use std::{fmt, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;

use self::page::PageOptions;
use crate::{
    config::{ConfigError, Host, Loaded, load, state as state_directory},
    plugin::compiler,
};

const EXAMPLES: &str = "\
Examples:
  portcullis
      Serves with config.toml of this directory, /etc/portcullis/config.toml, or the defaults.
  portcullis --set server.listen='[\"0.0.0.0:21\"]' --set limits.idle-timeout=10m
      Overrides keys of the configuration; each value is TOML, or plain text.
  portcullis check --config /etc/portcullis/config.toml
      Says what is wrong with a configuration, and with what it names.
  portcullis user add alice --group staff
      Adds a user; a running server knows it at once.

Exit status: 0, 1 for what went wrong while running, 2 for a wrong configuration or command line.";

/// An FTPS server whose decisions are WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = EXAMPLES, args_conflicts_with_subcommands = false)]
struct CommandLine {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the configuration comes from; taken before and after a subcommand's name.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration")]
struct Source {
    /// The configuration; otherwise config.toml in this directory, /etc/portcullis/config.toml, or the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides a key: a TOML value, or plain text; as often as wanted, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    Serve {
        /// Take the listening sockets over from the server that runs with this state directory, which
        /// ends: nobody is refused. If it cannot be done, that one goes on
        #[arg(long)]
        take_over: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Read the configuration, certificates and plugins, and say what is wrong
    Check {
        /// Keep what plugins are compiled to, so that the start has it
        #[arg(long)]
        keep_compiled: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Show what a configuration can say
    #[command(subcommand)]
    Config(config::Command),
    /// Have the running server read configuration, certificates and plugins again
    Reload {
        #[command(flatten)]
        source: Source,
    },
    /// Show how the running server and its plugins are
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Show who is there, and what each session does
    Who {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        source: Source,
    },
    /// End sessions
    Kick {
        #[command(flatten)]
        kick: sessions::Kick,
        #[command(flatten)]
        source: Source,
    },
    /// Let nobody in from an address or a network, and end the sessions from there
    Ban {
        #[command(flatten)]
        ban: sessions::NetworkBan,
        #[command(flatten)]
        source: Source,
    },
    /// Lift the bans of an address or a network, and of all within it
    Unban {
        /// An address, or a network such as 192.0.2.0/24
        #[arg(value_parser = sessions::network)]
        network: IpNet,
        #[command(flatten)]
        source: Source,
    },
    /// Show who is banned
    Bans {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        source: Source,
    },
    /// Show which users and networks are locked out after failed logins
    Locks {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        source: Source,
    },
    /// Let a user, or everybody from a network, try to log in again
    Unlock {
        #[command(flatten)]
        wanted: locks::Unlocked,
        #[command(flatten)]
        source: Source,
    },
    /// Show on a terminal who is there, as they come and go
    Top {
        #[command(flatten)]
        options: top::TopOptions,
        #[command(flatten)]
        source: Source,
    },
    /// Show the level of the running server's log, or change it until the next reload
    LogLevel {
        /// A level, or directives such as info,portcullis::session=debug
        level: Option<String>,
        #[command(flatten)]
        source: Source,
    },
    /// End the running server: no new sessions, and transfers may finish
    Drain {
        #[command(flatten)]
        source: Source,
    },
    /// Make, list and remove tokens for the page and the API
    #[command(subcommand)]
    Token(token::Command),
    /// Look at uploads in quarantine, publish or delete them
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Show what plugins keep, and clear it
    #[command(subcommand)]
    State(state::Command),
    /// Add, change, list and remove users
    #[command(subcommand)]
    User(user::Command),
    /// Make a configuration and users of those of vsftpd, ProFTPD, Pure-FTPd or SFTPGo
    Import(import::Import),
    /// Make plugins, try them, and look at them
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Write the manual pages, one for every command
    Man {
        /// Where they are written; it is made if it is not there
        directory: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Beside a server: has plugins compiled
    #[command(name = compiler::SUPERVISE, hide = true)]
    SuperviseCompiling {
        engine: String,
        timeout: String,
        cache: PathBuf,
    },
    /// Beside a server: compiles one plugin
    #[command(name = compiler::COMPILE, hide = true)]
    CompileComponent {
        engine: String,
        timeout: String,
        allocation: String,
    },
}

/// Why a command failed: which exit status it has.
#[derive(Debug)]
enum Failure {
    /// The configuration, or what it names, cannot be used.
    Configuration(String),
    /// Anything else.
    Running(String),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Self::Running(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Configuration(text) | Self::Running(text)) = self;
        formatter.write_str(text)
    }
}

impl Source {
    /// The options before the subcommand, then those after it.
    fn then(mut self, later: Self) -> Self {
        self.config = later.config.or(self.config);
        self.sets.extend(later.sets);
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(self.config.as_deref(), &self.sets)
    }

    /// The state directory alone, which is known though the rest may be wrong.
    fn state(&self) -> Result<PathBuf, ConfigError> {
        state_directory(self.config.as_deref(), &self.sets)
    }
}

/// The virtual host of this name; none is the one of the top level.
fn host_of(loaded: &Loaded, name: Option<&str>) -> Result<Host, Failure> {
    let (default, others) = loaded.config.hosts();
    let Some(name) = name else { return Ok(default) };
    let is_it = |host: &&Host| {
        let own = host.id.name();
        own.is_some_and(|own| own.eq_ignore_ascii_case(name))
    };
    others.iter().find(is_it).cloned().ok_or_else(|| {
        let names: Vec<_> = others.iter().filter_map(|host| host.id.name()).collect();
        let there = match names.is_empty() {
            true => "there is none".to_owned(),
            false => format!("there are {}", names.join(", ")),
        };
        Failure::Configuration(format!("no host is named {name:?}; {there}"))
    })
}

/// Does what the command line says; the exit status is 0, 1 for errors while running, or 2 for a
/// configuration that cannot be used.
#[must_use]
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::errors(&failure.to_string());
            ExitCode::from(match failure {
                Failure::Configuration(_) => 2,
                Failure::Running(_) => 1,
            })
        }
    }
}

fn run(line: CommandLine) -> Result<(), Failure> {
    let source = line.source;
    match line.command {
        None => serve::run(&source, false),
        Some(Command::Serve {
            take_over,
            source: later,
        }) => serve::run(&source.then(later), take_over),
        Some(Command::Check {
            keep_compiled,
            source: later,
        }) => check::run(&source.then(later), keep_compiled),
        Some(Command::Config(command)) => config::run(&command),
        Some(Command::Reload { source: later }) => control::reload(&source.then(later)),
        Some(Command::Status {
            json,
            source: later,
        }) => control::status(&source.then(later), json),
        Some(Command::Who {
            json,
            page,
            source: later,
        }) => sessions::who(&source.then(later), &page, json),
        Some(Command::Kick {
            kick,
            source: later,
        }) => sessions::kick(&source.then(later), kick),
        Some(Command::Ban { ban, source: later }) => sessions::ban(&source.then(later), ban),
        Some(Command::Unban {
            network,
            source: later,
        }) => sessions::unban(&source.then(later), network),
        Some(Command::Bans {
            json,
            page,
            source: later,
        }) => sessions::bans(&source.then(later), &page, json),
        Some(Command::Locks {
            json,
            page,
            source: later,
        }) => locks::list(&source.then(later), &page, json),
        Some(Command::Unlock {
            wanted,
            source: later,
        }) => locks::unlock(&source.then(later), &wanted),
        Some(Command::Top {
            options,
            source: later,
        }) => top::run(&source.then(later), &options),
        Some(Command::LogLevel {
            level,
            source: later,
        }) => control::log_level(&source.then(later), level),
        Some(Command::Drain { source: later }) => control::drain(&source.then(later)),
        Some(Command::Token(command)) => token::run(source, command),
        Some(Command::Quarantine(command)) => quarantine::run(source, command),
        Some(Command::State(command)) => state::run(source, command),
        Some(Command::User(command)) => user::run(source, command),
        Some(Command::Import(command)) => import::run(&command),
        Some(Command::Plugin(command)) => plugin::run(source, command),
        Some(Command::Man { directory }) => manual::pages(&directory),
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::SuperviseCompiling {
            engine,
            timeout,
            cache,
        }) => {
            let processes = compiler::Processes::parse(&engine, &timeout)?;
            compiler::supervise(&processes, &cache).map_err(|error| error.to_string().into())
        }
        Some(Command::CompileComponent {
            engine,
            timeout,
            allocation,
        }) => {
            let processes = compiler::Processes::parse(&engine, &timeout)?;
            Ok(compiler::work(&processes, &allocation)?)
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unreachable, clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn overrides_add_up_before_and_after_the_subcommand() {
        let line = [
            "portcullis",
            "--set",
            "a=1",
            "--config",
            "x",
            "serve",
            "--set",
            "b=2",
            "--set=c=3",
        ];
        let line = CommandLine::try_parse_from(line).unwrap();
        let Some(Command::Serve { source, .. }) = line.command else {
            unreachable!()
        };
        let source = line.source.then(source);
        assert_eq!(source.sets, ["a=1", "b=2", "c=3"]);
        assert_eq!(source.config, Some("x".into()));
    }
}
