//! Builds the plugins, and the components that the tests want to see fail.

mod compile;
mod manifest;
mod reference;
mod source;
mod toolchain;

use anyhow::{Context, Result, bail};
use manifest::Manifest;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toolchain::Toolchain;

const HELP: &str = "\
Builds the plugins and the tests' components from source.

    plugins/build              into plugins/built and tests/components/built, with MANIFEST.toml;
                               and docs/contract.md
    plugins/build --out DIR    into DIR, and changes nothing here
    plugins/build --reference  docs/contract.md alone, made of wit/: takes no compiler
    plugins/build --check      keeps nothing, and compares with what is kept here
    plugins/build --list       which compilers could do it, the one to be taken first

What is kept in the repository is what --check compares: byte by byte where the compiler is the
one that MANIFEST.toml records; with another one only that it builds, and that the kept files and
the sources are those that were recorded.

Any of these compilers will do:
    rustup target add wasm32-unknown-unknown
    rustup component add rust-src                              builds the standard library, too
    apt install --no-install-recommends rustc-web cargo-web rust-web-src
                   likewise; needs rust-lld from any rustup toolchain, or Debian's lld
";

/// Where everything is.
pub struct Places {
    /// The repository.
    pub root: PathBuf,
    /// For what can be made again.
    pub target: PathBuf,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(plugins), Some(target)) = (arguments.next(), arguments.next()) else {
        eprintln!("start this by plugins/build");
        return ExitCode::from(2);
    };
    let arguments: Vec<_> = arguments
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match run(Path::new(&plugins), Path::new(&target), &arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plugins/build: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(plugins: &Path, target: &Path, arguments: &[&str]) -> Result<ExitCode> {
    let root = plugins.parent().context("plugins/ is nowhere")?;
    let places = Places {
        root: root.to_owned(),
        target: target.to_owned(),
    };
    match arguments {
        [] => {
            refer(&places)?;
            build(&places, &places.root)?;
        }
        ["--out", directory] => build(&places, &std::path::absolute(directory)?)?,
        ["--reference"] => refer(&places)?,
        ["--check"] => check(&places)?,
        ["--list"] => list(&places)?,
        ["--help" | "-h"] => print!("{HELP}"),
        _ => {
            eprint!("{HELP}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(places: &Places) -> Result<()> {
    for toolchain in Toolchain::all(Manifest::read(&places.root)?.as_ref()) {
        println!("{toolchain}");
    }
    Ok(())
}

fn refer(places: &Places) -> Result<()> {
    let text = reference::text(&places.root)?;
    std::fs::write(places.root.join(reference::FILE), text).context(reference::FILE)
}

fn build(places: &Places, out: &Path) -> Result<()> {
    let recorded = Manifest::read(&places.root)?;
    let Some(toolchain) = Toolchain::all(recorded.as_ref()).into_iter().next() else {
        bail!("no compiler for wasm32-unknown-unknown: plugins/build --help says what to install");
    };
    let components = compile::all(places, &toolchain)?;
    for (file, bytes) in &components {
        let path = out.join(file);
        let directory = path.parent().context("no directory")?;
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    let manifest = Manifest::new(&toolchain, source::digest(&places.root)?, &components);
    manifest.write(out)?;
    print!("{manifest}");
    Ok(())
}

fn check(places: &Places) -> Result<()> {
    let Some(recorded) = Manifest::read(&places.root)? else {
        bail!("{} is missing: run plugins/build", manifest::FILE);
    };
    let mut wrong = recorded.compare_kept(&places.root)?;
    if source::digest(&places.root)? != recorded.sources {
        wrong.push("the sources have changed since: run plugins/build".into());
    }
    let reference = std::fs::read_to_string(places.root.join(reference::FILE)).unwrap_or_default();
    if reference != reference::text(&places.root)? {
        let file = reference::FILE;
        wrong.push(format!(
            "{file} is not what wit/ makes: run plugins/build --reference"
        ));
    }
    match Toolchain::all(Some(&recorded)).into_iter().next() {
        Some(toolchain) => {
            let components = compile::all(places, &toolchain)?;
            let built = Manifest::new(&toolchain, recorded.sources.clone(), &components);
            let differences = recorded.compare_built(&built);
            if differences.is_empty() {
                println!("the bytes are the same");
            } else if built.compiler == recorded.compiler {
                wrong.extend(differences);
            } else {
                println!("the bytes cannot be compared: recorded is another compiler,");
                println!("{}", recorded.compiler);
            }
        }
        None => println!(
            "the bytes cannot be compared: there is no compiler (plugins/build --help says which)"
        ),
    }
    if wrong.is_empty() {
        println!(
            "sources and {} kept components are as recorded",
            recorded.components.len()
        );
        return Ok(());
    }
    bail!("{}", wrong.join("\nplugins/build: "))
}
