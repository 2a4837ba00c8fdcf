//! Files and ports that the configuration does not name are out of reach (landlock(7)).

use std::{env, fs, path::Path};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    NetPort, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};

use super::reach::{Access, Reach};

/// The newest that is known here; an older kernel does what it can of it.
const NEWEST: ABI = ABI::V7;

/// Builds the walls that this thread and all that it starts have: files, ports to connect to, and
/// processes outside. Says how far they go.
///
/// # Errors
/// Why there are none, for people.
pub(super) fn everywhere(reach: &Reach) -> Result<String, String> {
    let status = build(reach, Whom::All).map_err(|error| error.to_string())?;
    let version = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        LandlockStatus::NotEnabled => return Err("this kernel has Landlock turned off".to_owned()),
        LandlockStatus::NotImplemented => return Err("this kernel has no Landlock".to_owned()),
    };
    let lacks = match version {
        ABI::V1 | ABI::V2 | ABI::V3 => ": this kernel confines no ports and no signals",
        ABI::V4 | ABI::V5 => ": this kernel confines no signals",
        _ => "",
    };
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("this kernel enforces nothing of it".to_owned()),
        _ => Ok(format!(
            "what the configuration names, by Landlock {version:?}{lacks}"
        )),
    }
}

/// For all threads, or for those that serve.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    All,
    Serving,
}

fn build(reach: &Reach, whom: Whom) -> Result<RestrictionStatus, RulesetError> {
    // Listeners that a reload adds are bound by the thread that loads.
    let network = match whom {
        Whom::All => AccessNet::ConnectTcp,
        Whom::Serving => AccessNet::BindTcp,
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(network)?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (path, access) in reach.files() {
        // Of the system's own some are not there.
        if let Ok(opened) = PathFd::new(&path) {
            let rights = rights(
                access,
                fs::metadata(&path).is_ok_and(|facts| facts.is_dir()),
            );
            ruleset = ruleset.add_rule(PathBeneath::new(opened, rights))?;
        }
    }
    let ports = match whom {
        Whom::All => reach.connected(),
        Whom::Serving => reach.bound(),
    };
    for port in ports {
        ruleset = ruleset.add_rule(NetPort::new(port, network))?;
    }
    // The control socket goes with the server.
    if let (Whom::All, Ok(state)) = (whom, PathFd::new(reach.state())) {
        ruleset = ruleset.add_rule(PathBeneath::new(state, AccessFs::RemoveFile))?;
    }
    ruleset.restrict_self()
}

fn rights(access: Access, directory: bool) -> BitFlags<AccessFs> {
    let rights = match access {
        Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        // Links, pipes and devices that are there can be renamed; the calls that make them are refused.
        Access::Write => AccessFs::from_all(NEWEST) & !(AccessFs::Execute | AccessFs::IoctlDev),
    };
    match directory {
        true => rights,
        false => rights & AccessFs::from_file(NEWEST),
    }
}

/// Builds the walls that those threads have that serve: ports to bind, and no file in the state
/// directory that can be removed.
///
/// # Errors
/// When the system refuses what it never should.
pub(super) fn serving(reach: &Reach) -> Result<(), String> {
    let built = build(reach, Whom::Serving);
    built.map(drop).map_err(|error| error.to_string())
}

/// Builds the walls of a process that compiles: it changes files in these directories alone, and may
/// start programs, which read what is theirs, or may not.
///
/// # Errors
/// When the system refuses what it never should.
pub(super) fn only(directories: &[&Path], programs: bool) -> Result<(), RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for path in directories {
        if let Ok(opened) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(opened, rights(Access::Write, true)))?;
        }
    }
    let program = env::current_exe().unwrap_or_default();
    let libraries = [
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/etc/ld.so.cache",
        "/nix/store",
    ];
    let system = ["/proc", "/sys/fs/cgroup", "/dev/null"];
    let run = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let reads = libraries.iter().map(|path| (Path::new(path), run));
    let reads = reads.chain([(program.as_path(), run)]);
    let reads = reads.chain(system.iter().map(|path| (Path::new(path), read)));
    for (path, rights) in reads.filter(|_| programs) {
        if let Ok(opened) = PathFd::new(path) {
            let directory = fs::metadata(path).is_ok_and(|facts| facts.is_dir());
            let rights = match directory {
                true => rights,
                false => rights & AccessFs::from_file(NEWEST),
            };
            ruleset = ruleset.add_rule(PathBeneath::new(opened, rights))?;
        }
    }
    ruleset.restrict_self().map(drop)
}
