//! The contract that the daemon carries: the files of `wit/`.

use std::path::Path;

use wit_component::StringEncoding;
use wit_parser::{PackageId, Resolve, SourceMap, WorldId};

use crate::plugin::PluginKind;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../wit/", $name)))),*]
    };
}

/// The contract's files, by their names.
pub const FILES: [(&str, &str); 7] = files![
    "authentication.wit",
    "events.wit",
    "host.wit",
    "path-policy.wit",
    "settings-check.wit",
    "types.wit",
    "upload-inspection.wit",
];

/// Writes into the module which world it implements, as bindings that have a linker do: the one in
/// which it looks at its settings, too, if it `checks` them.
///
/// # Errors
/// When the bytes are no module.
pub(super) fn embed(module: &mut Vec<u8>, world: &PluginKind, checks: bool) -> Result<(), String> {
    let (resolve, world) = parse(world, checks).map_err(|error| format!("wit: {error}"))?;
    wit_component::embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| format!("{error:#}"))
}

fn parse(world: &PluginKind, checks: bool) -> Result<(Resolve, WorldId), String> {
    let mut sources = SourceMap::default();
    for (name, text) in FILES {
        sources.push(Path::new(name), text);
    }
    let group = sources.parse().map_err(|(_, error)| error.to_string())?;
    let name = match checks {
        true => format!("checked-{world}"),
        false => world.name.to_owned(),
    };
    let mut resolve = Resolve::default();
    let package: PackageId = resolve
        .push_group(group)
        .map_err(|error| error.to_string())?;
    let world = resolve
        .select_world(&[package], Some(&name))
        .map_err(|error| format!("{error:#}"))?;
    Ok((resolve, world))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_contract_is_carried_and_every_world_is_in_it() {
        let mut there: Vec<String> = std::fs::read_dir("wit")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".wit"))
            .collect();
        there.sort();
        assert_eq!(there, FILES.map(|(name, _)| name));
        for world in PluginKind::ALL {
            parse(world, false).unwrap();
            parse(world, true).unwrap();
        }
    }
}
