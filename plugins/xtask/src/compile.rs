//! From sources to components.

use crate::Places;
use crate::toolchain::{TARGET, Toolchain};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wit_component::ComponentEncoder;

/// The workspaces, below the repository. Each keeps what was built of it in its folder `built`.
const WORKSPACES: &[&str] = &["plugins", "tests/components"];

/// Bytes by path.
pub type Components = BTreeMap<String, Vec<u8>>;

/// Builds all of them.
pub fn all(places: &Places, toolchain: &Toolchain) -> Result<Components> {
    println!("{toolchain}");
    let mut components = Components::new();
    for workspace in WORKSPACES {
        let directory = places.root.join(workspace);
        let guests = guests(&directory)?;
        println!("{workspace}: {}", guests.join(", "));
        cargo(places, toolchain, &directory, &guests)?;
        for guest in guests {
            let file = format!("{}.wasm", guest.replace('-', "_"));
            let module = places
                .target
                .join("wasm")
                .join(TARGET)
                .join("release")
                .join(file);
            let module = fs::read(&module).with_context(|| module.display().to_string())?;
            let component = component(&module).with_context(|| guest.clone())?;
            components.insert(format!("{workspace}/built/{guest}.wasm"), component);
        }
    }
    Ok(components)
}

/// The members of a workspace that become components.
fn guests(workspace: &Path) -> Result<Vec<String>> {
    let mut guests = Vec::new();
    for entry in fs::read_dir(workspace).with_context(|| workspace.display().to_string())? {
        let entry = entry?;
        let Ok(manifest) = fs::read_to_string(entry.path().join("Cargo.toml")) else {
            continue;
        };
        let manifest: toml::Table = toml::from_str(&manifest)?;
        let kinds = manifest.get("lib").and_then(|lib| lib.get("crate-type"));
        let kinds = kinds
            .and_then(|kinds| kinds.as_array())
            .into_iter()
            .flatten();
        if kinds
            .into_iter()
            .any(|kind| kind.as_str() == Some("cdylib"))
        {
            guests.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    guests.sort();
    Ok(guests)
}

fn cargo(
    places: &Places,
    toolchain: &Toolchain,
    workspace: &Path,
    guests: &[String],
) -> Result<()> {
    let start = |subcommand: &str| {
        let mut command = Command::new(&toolchain.cargo);
        // Where cargo starts is what names in panics are relative to.
        command
            .current_dir(workspace)
            .env("RUSTC", &toolchain.rustc);
        command.args([subcommand, "--locked", "--target", TARGET]);
        command
    };
    // Crates have to be here before it is known which paths to leave out of the components.
    finish(start("fetch"))?;

    let mut command = start("build");
    command.env(
        "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
        &toolchain.linker,
    );
    command.env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags(places, toolchain)?.join("\u{1f}"),
    );
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_RUSTFLAGS");
    command.env("CARGO_INCREMENTAL", "0");
    command
        .arg("--release")
        .arg("--target-dir")
        .arg(places.target.join("wasm"));
    if toolchain.library.is_some() {
        // The option is not stable; the compiler, however, is.
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort");
    }
    for guest in guests {
        command.args(["-p", guest]);
    }
    finish(command)
}

fn finish(mut command: Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| program.display().to_string())?;
    if !status.success() {
        bail!("{} has failed", program.display());
    }
    Ok(())
}

/// The stack. The server wipes a memory whose whole is small, and has it mapped anew if it is large:
/// with the usual stack of 1 MiB each of them is.
const STACK: usize = 128 << 10;

/// Memory that a plugin has from its beginning, besides its data and its stack: as much as the allocator
/// of `sdk` asks for the first time.
const HEAP: usize = 64 << 10;

/// Vector instructions, which the server's engine has; and no path of this machine's, so that the
/// bytes are the same everywhere.
fn flags(places: &Places, toolchain: &Toolchain) -> Result<Vec<String>> {
    let mut flags = vec![
        "-Ctarget-feature=+simd128".to_owned(),
        format!("-Clink-arg=-zstack-size={STACK}"),
        format!("-Clink-arg=--initial-heap={HEAP}"),
    ];
    let mut remap = |from: &Path, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    remap(&places.root, "portcullis");
    if let Some(library) = &toolchain.library {
        remap(library, "library");
        remap(&library.canonicalize()?, "library");
    }
    for directory in registries()? {
        remap(&directory, "crates");
    }
    Ok(flags)
}

/// Where cargo unpacks crates, a folder for each registry.
fn registries() -> Result<Vec<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let sources = home
        .context("there is no home directory")?
        .join("registry/src");
    let mut directories = Vec::new();
    for entry in fs::read_dir(&sources).with_context(|| sources.display().to_string())? {
        directories.push(entry?.path());
    }
    directories.sort();
    Ok(directories)
}

fn component(module: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(module)?.encode()
}
