//! `portcullis plugin componentize`.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Failure, files, output};
use crate::{
    kit::componentize::componentize,
    plugin::{self, PluginKind, Report},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The module: a .wasm file that a compiler made
    module: PathBuf,
    /// The kind that it implements, where the module does not say so itself (Go)
    #[arg(long)]
    world: Option<&'static PluginKind>,
    /// Where to write the component
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments {
        module: file,
        world,
        output,
    } = arguments;
    let module = fs::read(file).map_err(|error| files::failed(file, "read", &error))?;
    let wrong = |text: String| Failure::Running(format!("{}: {text}", file.display()));
    let component = componentize(&module, *world).map_err(wrong)?;
    let report = plugin::inspect(&component).map_err(|error| wrong(error.text))?;
    if let (Some(kind), Some(world)) = (report.kind, world)
        && kind != *world
    {
        return Err(wrong(format!(
            "it says itself that it is of the kind {kind}, not {world}"
        )));
    }
    write(output, &component).map_err(|error| files::failed(output, "written", &error))?;
    output::print(&told(output, &report));
    for problem in &report.problems {
        output::warning(problem);
    }
    Ok(())
}

/// Whole or not at all, with the mode that new files have.
fn write(path: &Path, component: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".portcullis-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)?;
    file.write_all(component)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn told(path: &Path, report: &Report) -> String {
    let kind = report
        .kind
        .map_or_else(|| "none".to_owned(), |kind| kind.to_string());
    let rows = [
        ["component", &files::short(path)],
        ["kind", &kind],
        ["size", &format!("{} bytes", report.size)],
        ["sha256", &report.sha256],
    ];
    let rows = rows.map(|row| row.map(str::to_owned));
    let shell = files::for_shell(path);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    format!(
        "{}\n\
         What it imports:   portcullis plugin inspect {shell}\n\
         Call it:           portcullis plugin run {shell} --case case.toml\n\
         Have it asked:     in the configuration\n\n\
         [[plugin]]\n\
         name = {name:?}\n\
         component = {:?}\n",
        output::table(&rows),
        files::short(path),
    )
}
