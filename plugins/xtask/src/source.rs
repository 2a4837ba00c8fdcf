//! The sources as one digest.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// What components are made of, below the repository.
const FOLDERS: &[&str] = &["plugins", "tests/components", "wit"];
const EXTENSIONS: &[&str] = &["lock", "rs", "toml", "wit"];

/// SHA-256 over the names and the contents of all sources, in hexadecimal.
pub fn digest(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        gather(&root.join(folder), &mut files)?;
    }
    let mut named = Vec::new();
    for file in files {
        let name = file
            .strip_prefix(root)?
            .to_string_lossy()
            .replace('\\', "/");
        named.push((name, file));
    }
    named.sort();

    let mut digest = Sha256::new();
    for (name, file) in named {
        let content = fs::read(&file).with_context(|| file.display().to_string())?;
        digest.update(format!("{name}\0{}\0", content.len()));
        digest.update(content);
    }
    Ok(format!("{:x}", digest.finalize()))
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            // What is built is no source.
            if !matches!(name.as_ref(), "built" | "target") && !name.starts_with('.') {
                gather(&path, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|one| extension == *one))
        {
            files.push(path);
        }
    }
    Ok(())
}
