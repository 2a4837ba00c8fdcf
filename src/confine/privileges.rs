//! The user that serves, and what it may besides.

use std::{ffi::CString, io, net::SocketAddr};

use nix::unistd::{self, Gid, Group, Uid, User};
use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, geteuid, set_dumpable_behavior, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
        set_no_new_privs,
    },
};

use super::Wall;
use crate::{
    config::{self, Loaded, Problem},
    types::access,
};

/// Kept where root serves: its files, and those of others.
const ROOT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Becomes the user that the configuration names, with nothing but the right to bind listeners left of
/// what root may. Call it before anything is opened, and before there is a second thread.
///
/// # Errors
/// When there is no such user, or this process cannot become it; when root is to serve a network.
pub fn become_user(loaded: &mut Loaded) -> Result<(), Problem> {
    let server = &loaded.config.server;
    let Some(name) = &server.user else {
        if server.group.is_some() {
            return Err(loaded.problem("server.group", "it takes server.user, too"));
        }
        if geteuid().is_root() {
            let warning = loaded.problem(
                "server.user",
                "root serves: name the user that is to serve, before the server is for others",
            );
            loaded.warnings.push(warning);
        }
        return root_may_serve(loaded);
    };
    let problem = |text: String| loaded.problem("server.user", text);
    let user = find(name, User::from_name, |id| {
        User::from_uid(Uid::from_raw(id))
    })
    .map_err(|error| problem(format!("{name}: {error}")))?
    .ok_or_else(|| problem(format!("this system has no user {name:?}")))?;
    let mut gid = user.gid;
    if let Some(name) = &server.group {
        let problem = |text: String| loaded.problem("server.group", text);
        let group = find(name, Group::from_name, |id| {
            Group::from_gid(Gid::from_raw(id))
        })
        .map_err(|error| problem(format!("{name}: {error}")))?
        .ok_or_else(|| problem(format!("this system has no group {name:?}")))?;
        gid = group.gid;
    }
    if user.uid.is_root() {
        let text = "root is no user to become: leave the key out, and see server.allow-root";
        return Err(problem(text.to_owned()));
    }
    if !geteuid().is_root() {
        if user.uid.as_raw() == geteuid().as_raw() && gid == unistd::getegid() {
            return Ok(());
        }
        return Err(problem(format!(
            "only root can become another user, and this is {}: start the server as root, or leave \
             the key out where the service manager says the user",
            access::user(geteuid().as_raw())
        )));
    }
    assume(&user, gid).map_err(|error| problem(format!("{name}: {error}")))
}

/// By name, else by number.
fn find<T>(
    name: &str,
    by_name: impl Fn(&str) -> nix::Result<Option<T>>,
    by_number: impl Fn(u32) -> nix::Result<Option<T>>,
) -> nix::Result<Option<T>> {
    match by_name(name)? {
        Some(found) => Ok(Some(found)),
        None => name.parse().map_or(Ok(None), by_number),
    }
}

fn assume(user: &User, gid: Gid) -> io::Result<()> {
    let name = CString::new(user.name.as_bytes())?;
    // The groups that give it certificates, and shared directories.
    let groups = unistd::getgrouplist(&name, gid)?;
    empty_bounding_set()?;
    unistd::setgroups(&groups)?;
    set_keep_capabilities(true)?;
    unistd::setresgid(gid, gid, gid)?;
    unistd::setresuid(user.uid, user.uid, user.uid)?;
    set_keep_capabilities(false)?;
    keep(CapabilitySet::NET_BIND_SERVICE)?;
    // It must not be possible any more, whatever the calls above returned.
    if unistd::setuid(Uid::from_raw(0)).is_ok() || unistd::setgid(Gid::from_raw(0)).is_ok() {
        return Err(io::Error::other("root could be had back"));
    }
    Ok(())
}

/// Whether root may serve these addresses.
///
/// # Errors
/// The first one that it may not.
pub fn root_may_serve(loaded: &Loaded) -> Result<(), Problem> {
    let server = &loaded.config.server;
    if !geteuid().is_root() || server.allow_root {
        return Ok(());
    }
    for listener in loaded.config.listeners() {
        let address = listener.address;
        if !is_loopback(&address) {
            let text = format!(
                "root would serve {address}: set server.user to the user that is to serve, or \
                 server.allow-root = true if root it must be"
            );
            return Err(loaded.problem(&listener.key, text));
        }
    }
    match &loaded.config.admin.listen {
        Some(address) if !is_loopback(address) => {
            let text = format!("root would serve {address}: set server.user");
            Err(loaded.problem("admin.listen", text))
        }
        _ => Ok(()),
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Takes away what binding took, and whatever the process could get by itself.
pub(super) fn drop(server: &config::Server) -> io::Result<Wall> {
    let root = geteuid().is_root();
    // Without the right to do so there is nothing in it that could be had.
    let bounded = empty_bounding_set();
    if root {
        bounded?;
    }
    keep(match root {
        true => ROOT,
        false => CapabilitySet::empty(),
    })?;
    close()?;
    let user = access::user(geteuid().as_raw());
    let text = match (root, &server.user) {
        (true, _) => format!("{user} serves, with the capabilities that files take"),
        (false, _) => format!("{user} serves, without any capability"),
    };
    Ok(Wall::new("privileges", !root, text))
}

/// No program that it starts gets more, nobody looks into it, and it leaves no memory behind.
fn close() -> io::Result<()> {
    clear_ambient_capability_set()?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// Takes away all privileges, for a process that compiles.
pub(super) fn drop_all() -> io::Result<()> {
    if geteuid().is_root() {
        empty_bounding_set()?;
    }
    keep(CapabilitySet::empty())?;
    close()
}

/// Those that this process may have of its capabilities, from here on.
fn keep(allowed: CapabilitySet) -> io::Result<()> {
    let held = rustix::thread::capabilities(None)?;
    let kept = held.permitted & allowed;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

fn empty_bounding_set() -> io::Result<()> {
    // The kernel may know more of them than any library; it says so at the first that it does not.
    for number in 0..64_u32 {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether the configuration file, which root has read, is the serving user's to read at a reload.
#[must_use]
pub fn unreadable(loaded: &Loaded) -> Option<Problem> {
    let file = loaded.file.as_deref()?;
    let error = std::fs::File::open(file).err()?;
    let error = access::explain(error, file, access::Wanted::Read);
    let text = format!("a reload cannot read {}: {error}", file.display());
    Some(loaded.problem("server.user", text))
}
