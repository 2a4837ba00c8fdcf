//! Where the components are, and the command that tries them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

use crate::support::server::keep_compiled;

/// Limits that are not reached because the machine has much else to do.
pub const PATIENT: &str =
    "limits.cpu-time = \"30s\"\nlimits.wall-time = \"60s\"\nlimits.pool-wait = \"60s\"\n";

pub const KINDS: [&str; 4] = [
    "authenticator",
    "path-guard",
    "upload-inspector",
    "event-listener",
];

/// The component of an example; `None` where the examples have not been built. `./test examples`
/// builds them and says where they are; with CI=true one that is missing there is a failure.
#[track_caller]
pub fn component(language: &str, kind: &str) -> Option<PathBuf> {
    let strict = env::var("CI").is_ok_and(|ci| ci == "true");
    let Some(directory) = env::var_os("PORTCULLIS_EXAMPLES").map(PathBuf::from) else {
        eprintln!("Left out: PORTCULLIS_EXAMPLES is not set; ./test examples builds them all");
        return None;
    };
    let component = root()
        .join(directory)
        .join(format!("{language}-{kind}.wasm"));
    if !component.is_file() {
        let missing = component.display();
        assert!(!strict, "{missing} is missing: examples/build {language}");
        eprintln!("Left out: {missing} is missing; examples/build {language} makes it");
        return None;
    }
    Some(component)
}

/// All four of a language.
#[track_caller]
pub fn components(language: &str) -> Option<[PathBuf; 4]> {
    let components = KINDS.map(|kind| component(language, kind));
    let [Some(a), Some(b), Some(c), Some(d)] = components else {
        return None;
    };
    Some([a, b, c, d])
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn example(language: &str, kind: &str) -> PathBuf {
    root().join("examples").join(language).join(kind)
}

/// `portcullis plugin run` with patience; what it has compiled, servers need not.
#[track_caller]
pub fn run(component: &Path, case: &Path) -> String {
    // All cores compile one component; others would wait for it in vain.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache();
    let patient = tempfile::NamedTempFile::new().unwrap();
    let case = fs::read_to_string(case).unwrap();
    fs::write(patient.path(), format!("{PATIENT}{case}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .args(["plugin", "run"])
        .arg(component)
        .arg("--case")
        .arg(patient.path())
        .env("NO_COLOR", "1")
        .env("XDG_CACHE_HOME", &cache);
    let said = succeeds(&mut command);
    keep_compiled(&cache.join("portcullis"));
    said
}

/// Where `plugin run` keeps what it has compiled.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit-cache")
}

/// The words of `plugin inspect`.
#[track_caller]
pub fn inspect(component: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    succeeds(command.args(["plugin", "inspect"]).arg(component))
}

/// Runs a command to its end: what it said.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned();
    let wrong = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{said}{wrong}");
    said
}

/// Compiles what a server is to load, so that it starts soon.
#[track_caller]
pub fn compile(language: &str, kind: &str, component: &Path) {
    run(component, &example(language, kind).join("case.toml"));
}

/// The commands of a README's section, as one script.
#[track_caller]
pub fn section(readme: &Path, title: &str) -> String {
    let text = fs::read_to_string(readme).unwrap();
    let section = text.split("\n## ").find(|part| part.starts_with(title));
    let section = section.unwrap_or_else(|| panic!("no {title} in {}", readme.display()));
    let mut fences = section.split("```");
    let block = fences.nth(1).unwrap().strip_prefix("sh\n").unwrap();
    block.to_owned()
}
