//! New projects: the examples of the repository, each with the contract beside it.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::contract;
use crate::plugin::PluginKind;

/// The files of all examples, by their paths: `rust/authenticator/src/lib.rs`.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/examples.rs"));

/// The languages that there are examples in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Small and quick.
    Rust,
    /// With clang and wasi-libc.
    C,
    /// With the compiler alone: nothing is downloaded.
    Go,
    /// With componentize-py.
    Python,
    /// With componentize-qjs.
    #[value(name = "javascript")]
    JavaScript,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Rust,
        Self::C,
        Self::Go,
        Self::Python,
        Self::JavaScript,
    ];

    /// Its name, as on the command line and in `examples/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }

    /// The commands that make `plugin.wasm` of a project, in its directory.
    #[must_use]
    pub fn build(self, kind: &PluginKind) -> Vec<String> {
        match self {
            Self::Rust => vec![
                "cargo build --release --target wasm32-unknown-unknown".into(),
                "portcullis plugin componentize \
                 target/wasm32-unknown-unknown/release/plugin.wasm -o plugin.wasm"
                    .into(),
            ],
            Self::C => vec!["make".into()],
            Self::Go => vec![
                "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o module.wasm .".into(),
                format!("portcullis plugin componentize module.wasm --world {kind} -o plugin.wasm"),
            ],
            Self::Python => vec![
                "pip install -r requirements.txt".into(),
                format!("componentize-py -d wit -w checked-{kind} componentize -o plugin.wasm app"),
            ],
            Self::JavaScript => vec!["npm install".into(), "npm run build".into()],
        }
    }
}

/// Writes a project. The directory is made; if it is there already, it has to be empty.
///
/// # Errors
/// In one line: why not.
pub fn create(language: Language, kind: &PluginKind, directory: &Path) -> Result<(), String> {
    let wrong = |path: &Path, error: &io::Error| format!("{}: {error}", path.display());
    match fs::read_dir(directory) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(format!(
                    "{} is not empty: nothing is overwritten, so name another directory",
                    directory.display()
                ));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(wrong(directory, &error)),
    }
    let contract = contract::FILES.map(|(name, text)| (format!("wit/{name}"), text.as_bytes()));
    let project = files(language, kind).map(|(name, bytes)| (name.to_owned(), bytes));
    for (name, bytes) in project.chain(contract) {
        let path = directory.join(name);
        write(&path, bytes).map_err(|error| wrong(&path, &error))?;
    }
    Ok(())
}

/// The files of an example, by their paths in it.
fn files(
    language: Language,
    kind: &PluginKind,
) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(path, bytes)| {
        let path = path.strip_prefix(language.name())?.strip_prefix('/')?;
        let path = path.strip_prefix(kind.name)?.strip_prefix('/')?;
        Some((path, *bytes))
    })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    fs::write(path, bytes)?;
    if bytes.starts_with(b"#!") {
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_list_is_what_git_has() {
        let mut git = Command::new("git");
        git.args(["ls-files", "--"])
            .args(Language::ALL.map(Language::name))
            .current_dir("examples");
        let Ok(output) = git.output() else { return };
        if !output.status.success() {
            return;
        }
        let tracked = String::from_utf8(output.stdout).unwrap();
        let mut tracked: Vec<&str> = tracked
            .lines()
            .filter(|path| !path.ends_with("/wit"))
            .collect();
        tracked.sort_unstable();
        let listed: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        assert_eq!(
            listed, tracked,
            "examples/FILES is old; in examples/: git ls-files rust c go python javascript | \
             grep -v '/wit$' | LC_ALL=C sort > FILES"
        );
    }

    #[test]
    fn every_language_has_every_kind_and_each_is_written_as_it_is() {
        for language in Language::ALL {
            for kind in PluginKind::ALL {
                let place = tempfile::tempdir().unwrap();
                let directory = place.path().join("new/project");
                create(language, kind, &directory).unwrap();
                let example = Path::new("examples").join(language.name()).join(kind.name);
                let mut count = 0;
                for (name, _) in files(language, kind) {
                    let written = fs::read(directory.join(name)).unwrap();
                    assert_eq!(written, fs::read(example.join(name)).unwrap(), "{name}");
                    count += 1;
                }
                assert!(count > 2, "{language:?} {kind}: {count} files");
                for (name, text) in contract::FILES {
                    let written = fs::read_to_string(directory.join("wit").join(name)).unwrap();
                    assert_eq!(written, text);
                }
                assert!(create(language, kind, &directory).is_err());
            }
        }
    }
}
