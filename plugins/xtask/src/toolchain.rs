//! The compilers that are here, and what each can do.

use crate::manifest::{Compiler, Manifest};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of all components.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler that can build components.
#[derive(Debug)]
pub struct Toolchain {
    /// rustc.
    pub rustc: PathBuf,
    /// The cargo that belongs to it.
    pub cargo: PathBuf,
    /// Where the standard library's sources are, if it has to be built.
    pub library: Option<PathBuf>,
    /// wasm-ld, by any name.
    pub linker: PathBuf,
    /// What to record.
    pub compiler: Compiler,
}

impl Toolchain {
    /// All that are here, the recorded one first.
    pub fn all(recorded: Option<&Manifest>) -> Vec<Self> {
        let pairs = [("rustc", "cargo"), ("/usr/bin/rustc", "/usr/bin/cargo")];
        let linkers = linkers();
        let mut found: Vec<Self> = Vec::new();
        for (rustc, cargo) in pairs {
            for linker in &linkers {
                found.extend(Self::new(rustc.into(), cargo.into(), linker));
            }
        }
        if let Some(recorded) = recorded {
            found.sort_by_key(|toolchain| toolchain.compiler != recorded.compiler);
        }
        found
    }

    fn new(rustc: PathBuf, cargo: PathBuf, linker: &Path) -> Option<Self> {
        let version = output(&rustc, &["--version"])?;
        output(&cargo, &["--version"])?;
        let prebuilt = output(&rustc, &["--print", "target-libdir", "--target", TARGET])?;
        let library = if Path::new(&prebuilt).is_dir() {
            None
        } else {
            let sysroot = PathBuf::from(output(&rustc, &["--print", "sysroot"])?);
            let library = sysroot.join("lib/rustlib/src/rust/library");
            if !library.join("Cargo.toml").is_file() {
                return None;
            }
            Some(library)
        };
        let compiler = Compiler {
            rustc: version,
            linker: linker_version(linker)?,
            standard_library: if library.is_some() {
                "from source"
            } else {
                "prebuilt"
            }
            .into(),
        };
        Some(Self {
            rustc,
            cargo,
            library,
            linker: linker.into(),
            compiler,
        })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rustc.display(), self.compiler)
    }
}

/// `rust-lld` of the compiler itself and of every toolchain of rustup's, and Debian's `wasm-ld`.
fn linkers() -> Vec<PathBuf> {
    let mut sysroots = Vec::new();
    sysroots.extend(output(Path::new("rustc"), &["--print", "sysroot"]).map(PathBuf::from));
    let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let rustup = rustup.or_else(|| Some(std::env::home_dir()?.join(".rustup")));
    let toolchains = rustup.and_then(|rustup| std::fs::read_dir(rustup.join("toolchains")).ok());
    let toolchains = toolchains
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut toolchains: Vec<_> = toolchains.collect();
    toolchains.sort();
    sysroots.extend(toolchains);

    let host = output(Path::new("rustc"), &["--print", "host-tuple"]).unwrap_or_default();
    let within = format!("lib/rustlib/{host}/bin/rust-lld");
    let mut linkers: Vec<_> = sysroots
        .iter()
        .map(|sysroot| sysroot.join(&within))
        .collect();
    linkers.retain(|linker| linker.is_file());
    let debian = ["", "-22", "-21", "-20", "-19", "-18"].map(|version| format!("wasm-ld{version}"));
    linkers.extend(debian.map(PathBuf::from));
    linkers.retain(|linker| linker_version(linker).is_some());

    // One of each version is enough.
    let mut versions = Vec::new();
    linkers.retain(|linker| {
        let version = linker_version(linker);
        let new = !versions.contains(&version);
        versions.push(version);
        new
    });
    linkers
}

/// "LLD 22.1.2", without what follows about its sources.
fn linker_version(linker: &Path) -> Option<String> {
    let is_wasm_ld = linker.to_string_lossy().starts_with("wasm-ld");
    let flavor: &[&str] = if is_wasm_ld {
        &[]
    } else {
        &["-flavor", "wasm"]
    };
    let version = output(linker, &[flavor, &["--version"]].concat())?;
    let start = version.find("LLD ")?;
    let words: Vec<_> = version.get(start..)?.split_whitespace().take(2).collect();
    Some(words.join(" "))
}

/// What a program says, if it is there and succeeds.
fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
