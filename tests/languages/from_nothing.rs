//! From an empty directory to a login: a new project, the commands of its README, and the server.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    built::{PATIENT, component, run, section, succeeds},
    daemon::SETTINGS,
    support::{Setup, Tls},
};

/// A new authenticator, changed by `change` before it is built. `None` without a toolchain, which
/// there is where the examples were built.
#[track_caller]
fn project(language: &str, place: &Path, change: impl FnOnce(&Path)) -> Option<PathBuf> {
    component(language, "authenticator")?;
    let project = place.join("project");
    let portcullis = env!("CARGO_BIN_EXE_portcullis");
    let said = succeeds(
        Command::new(portcullis)
            .args(["plugin", "new", "--language", language])
            .args(["--kind", "authenticator"])
            .arg(&project),
    );
    let build = section(&project.join("README.md"), "Build");
    for line in build.lines() {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    change(&project);
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", &build])
        .current_dir(&project)
        .env_remove("CARGO_TARGET_DIR");
    toolchain(&mut shell, language, &project, place);
    succeeds(&mut shell);
    Some(project)
}

#[track_caller]
fn from_nothing(language: &str) {
    let place = tempfile::tempdir().unwrap();
    let Some(project) = project(language, place.path(), |_| {}) else {
        return;
    };
    let component = project.join("plugin.wasm");
    run(&component, &project.join("case.toml"));

    let server = Setup::new()
        .plugin(
            "demo",
            &component.display().to_string(),
            &format!("{SETTINGS}{PATIENT}"),
        )
        .start();
    let mut client = server.secure(&Tls::new());
    client.send("USER demo").expect(331);
    client.send("PASS guess").expect(530);
    client.send("USER demo").expect(331);
    client
        .send("PASS secret")
        .expect(230)
        .saying("Welcome to the demonstration");
}

/// Puts a crash before a line of the plugin, and tells what is said of it.
#[track_caller]
fn crash(language: &str, file: &str, before: &str, crash: &str, said: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let change = |project: &Path| {
        let source = fs::read_to_string(project.join(file)).unwrap();
        assert!(source.contains(before), "{source}");
        let source = source.replacen(before, &format!("{crash}{before}"), 1);
        fs::write(project.join(file), source).unwrap();
    };
    let Some(project) = project(language, place.path(), change) else {
        return;
    };
    let case = project.join("crash.toml");
    fs::write(
        &case,
        "settings.password-hash = \"x\"\n[[call]]\nuser = \"x\"\nexpect.outcome = \"fault\"\n",
    )
    .unwrap();
    let told = run(&project.join("plugin.wasm"), &case);
    for part in said {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
}

#[test]
fn a_panic_in_go_is_told_with_its_lines() {
    let before = "\tif credentials.User != \"demo\"";
    let said = [
        "answer fault: trap: ",
        "panic: on purpose",
        "main.authenticate",
        "main.go:",
    ];
    crash("go", "main.go", before, "\tpanic(\"on purpose\")\n", &said);
}

#[test]
fn an_exception_in_python_is_told_with_its_traceback() {
    let before = "        if credentials.user != \"demo\":";
    let raise = "        raise RuntimeError(\"on purpose\")\n";
    let said = [
        "answer fault: trap: ",
        "Traceback (most recent call last)",
        "RuntimeError: on purpose",
    ];
    crash("python", "app.py", before, raise, &said);
}

/// The tools of somebody who has installed what the README says.
fn toolchain(shell: &mut Command, language: &str, project: &Path, place: &Path) {
    let bin = place.join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_portcullis"), bin.join("portcullis")).unwrap();
    let tools = toolchains();
    let mut path = vec![
        bin.clone(),
        tools.join("python/bin"),
        tools.join("node_modules/.bin"),
    ];
    if language == "rust" {
        // A standard library that has to be built is built once.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-project");
        fs::create_dir_all(&target).unwrap();
        symlink(target, project.join("target")).unwrap();
        shell.env_remove("RUSTC").env_remove("RUSTFLAGS");
        if !has_target() {
            path.push("/usr/bin".into());
            shell
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker());
            // Debian's own, which the library's sources belong to.
            symlink("/usr/bin/cargo", bin.join("cargo")).unwrap();
        }
    }
    let old = env::var_os("PATH").unwrap_or_default();
    path.extend(env::split_paths(&old));
    shell.env("PATH", env::join_paths(path).unwrap());
}

/// Where `tests/setup` puts what no package manager of the system has.
fn toolchains() -> PathBuf {
    match env::var_os("PORTCULLIS_TOOLCHAINS") {
        Some(directory) => directory.into(),
        None => Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("toolchains"),
    }
}

fn has_target() -> bool {
    let libraries = Command::new("rustc")
        .args([
            "--print",
            "target-libdir",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .current_dir("/")
        .output();
    libraries.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// As `plugins/build` finds it: any toolchain of rustup's has one, and so has LLVM.
fn linker() -> PathBuf {
    let rustc = |words: &[&str]| {
        let output = Command::new("rustc").args(words).current_dir("/").output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let version = rustc(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"]).trim());
    let own = sysroot
        .join("lib/rustlib")
        .join(host.unwrap_or_default())
        .join("bin/rust-lld");
    if own.is_file() { own } else { "wasm-ld".into() }
}

#[test]
fn to_a_login_in_rust() {
    from_nothing("rust");
}

#[test]
fn to_a_login_in_c() {
    from_nothing("c");
}

#[test]
fn to_a_login_in_go() {
    from_nothing("go");
}

#[test]
fn to_a_login_in_python() {
    from_nothing("python");
}

#[test]
fn to_a_login_in_javascript() {
    from_nothing("javascript");
}
