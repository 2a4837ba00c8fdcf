//! What was built, of what, by what.

use crate::compile::Components;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Where it is kept, below the repository.
pub const FILE: &str = "plugins/built/MANIFEST.toml";

/// The file's content.
#[derive(Debug, Deserialize, Serialize)]
pub struct Manifest {
    /// SHA-256 over all sources, `source::digest`.
    pub sources: String,
    /// Who built it: with the same the bytes are the same.
    pub compiler: Compiler,
    /// By path.
    pub components: BTreeMap<String, Component>,
}

/// Everything outside of the repository that the bytes depend on.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Compiler {
    /// What `rustc --version` says.
    pub rustc: String,
    /// What the linker says.
    pub linker: String,
    /// "prebuilt" or "from source".
    pub standard_library: String,
}

/// One component.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Bytes.
    pub size: usize,
    /// In hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Describes what `toolchain` has made.
    pub fn new(toolchain: &Toolchain, sources: String, components: &Components) -> Self {
        let describe = |(file, bytes): (&String, &Vec<u8>)| (file.clone(), Component::of(bytes));
        Self {
            sources,
            compiler: toolchain.compiler.clone(),
            components: components.iter().map(describe).collect(),
        }
    }

    /// Reads the one that is kept; none where nothing was built yet.
    pub fn read(root: &Path) -> Result<Option<Self>> {
        let path = root.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).context(FILE)?;
        toml::from_str(&text).context(FILE).map(Some)
    }

    /// Keeps it.
    pub fn write(&self, root: &Path) -> Result<()> {
        let text = toml::to_string(self)?;
        let text = format!("# Written by plugins/build, which also checks it: --check.\n{text}");
        std::fs::write(root.join(FILE), text).context(FILE)
    }

    /// What is no longer as it was recorded.
    pub fn compare_kept(&self, root: &Path) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (file, recorded) in &self.components {
            let bytes = std::fs::read(root.join(file)).with_context(|| file.clone())?;
            if Component::of(&bytes) != *recorded {
                wrong.push(format!("{file} is not the file that was recorded"));
            }
        }
        Ok(wrong)
    }

    /// What the same compiler has made otherwise.
    pub fn compare_built(&self, built: &Self) -> Vec<String> {
        let mut files: Vec<_> = self
            .components
            .keys()
            .chain(built.components.keys())
            .collect();
        files.sort();
        files.dedup();
        files.retain(|file| self.components.get(*file) != built.components.get(*file));
        let wrong = |file| format!("{file} is not what its sources make");
        files.into_iter().map(wrong).collect()
    }
}

impl Component {
    fn of(bytes: &[u8]) -> Self {
        Self {
            size: bytes.len(),
            sha256: format!("{:x}", Sha256::digest(bytes)),
        }
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (file, component) in &self.components {
            writeln!(f, "{:8} {} {file}", component.size, component.sha256)?;
        }
        Ok(())
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rustc,
            linker,
            standard_library,
        } = self;
        write!(
            f,
            "{rustc}, standard library {standard_library}, linker {linker}"
        )
    }
}
