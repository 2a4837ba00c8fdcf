//! The walls around the process: an intruder who runs code in it gets little.
//!
//! The start becomes the user that serves ([`privileges::become_user`]) and opens what takes more
//! than serving does. Then [`confine`] takes away the rest, before there is a second thread, so that
//! every thread has it: privileges, files and ports that the configuration does not name, and system
//! calls that serving does not take. Only the [`Loader`] may still map executable memory and bind
//! listeners, for reloads.

pub mod compiling;
mod landlock;
mod loader;
pub mod privileges;
mod reach;
mod refused;
mod seccomp;

use std::{fs, io, thread, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    loader::Loader,
    reach::{Access, Reach},
    refused::follow as follow_refused,
};
use crate::config::{self, Config};

/// One wall, and whether it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wall {
    /// Its name.
    pub name: String,
    /// Whether it stands.
    pub stands: bool,
    /// How far, or why not.
    pub text: String,
}

impl Wall {
    fn new(name: &str, stands: bool, text: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            stands,
            text: text.into(),
        }
    }

    fn of(name: &str, built: Result<String, String>) -> Self {
        match built {
            Ok(text) => Self::new(name, true, text),
            Err(text) => Self::new(name, false, text),
        }
    }
}

/// The confinement of this process.
#[derive(Debug)]
pub struct Confinement {
    /// Those that stand, and those that do not.
    pub walls: Vec<Wall>,
    /// The files and ports within them; none where all are.
    pub reach: Option<Reach>,
    /// The thread that loads for the others.
    pub loader: Loader,
}

impl Confinement {
    /// Writes to the log which walls stand.
    pub fn tell(&self) {
        for wall in &self.walls {
            match wall.stands {
                true => tracing::info!(wall = wall.name, "stands: {}", wall.text),
                false => tracing::warn!(wall = wall.name, "does not stand: {}", wall.text),
            }
        }
    }
}

/// Takes away from this process what serving does not take. For good.
///
/// # Errors
/// When there are other threads, which would keep what they have, or the system refuses what it never
/// should.
pub fn confine(config: &Config, reach: Reach) -> io::Result<Confinement> {
    alone()?;
    let server = &config.server;
    let mut walls = vec![privileges::drop(server)?];
    let files = match server.landlock {
        config::Landlock::Enforce => landlock::everywhere(&reach),
        config::Landlock::Off => Err("server.landlock is \"off\"".to_owned()),
    };
    let confined = files.is_ok();
    let calls = seccomp::everywhere(server.seccomp);
    let filtered = calls.is_ok();
    // It may do as much as all may until here.
    let loader = Loader::start()?;
    if confined && let Err(error) = landlock::serving(&reach) {
        return Err(io::Error::other(error));
    }
    let executable = match (filtered, server.seccomp) {
        (true, action) => seccomp::serving(action),
        (false, _) => Err("it takes seccomp".to_owned()),
    };
    walls.push(Wall::of("files and ports", files));
    walls.push(Wall::of("system calls", calls));
    walls.push(Wall::of("executable memory", executable));
    if server.seccomp == config::Seccomp::Log {
        // They are there, and hold nobody.
        let filters = walls.iter_mut().skip(2);
        filters.for_each(|wall| wall.stands = false);
    }
    Ok(Confinement {
        walls,
        reach: confined.then_some(reach),
        loader,
    })
}

/// Makes sure that this is the only thread. One that has just ended may still be seen for a moment.
fn alone() -> io::Result<()> {
    for _ in 0..500 {
        if fs::read_dir("/proc/self/task")?.count() == 1 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Err(io::Error::other(
        "there are threads that the walls would not be around",
    ))
}
