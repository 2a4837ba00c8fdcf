//! `portcullis plugin new`.

use std::path::PathBuf;

use super::{Failure, files, output};
use crate::{
    kit::project::{self, Language},
    plugin::PluginKind,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The language
    #[arg(short, long)]
    language: Language,
    /// The kind of the plugin
    #[arg(short, long)]
    kind: &'static PluginKind,
    /// The directory: not there yet, or empty
    directory: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments {
        language,
        kind,
        directory,
    } = arguments;
    project::create(*language, kind, directory)?;
    let build: String = language
        .build(kind)
        .iter()
        .map(|command| format!("  {command}\n"))
        .collect();
    let shell = files::for_shell(directory);
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    output::print(&format!(
        "{shell} is a plugin, {kind}, that works as it is and is meant to be changed.\n\n\
         Build it:\n  cd {shell}\n{build}\n\
         Try it, without a server:\n  portcullis plugin run plugin.wasm --case case.toml\n\n\
         Have it asked, in the server's configuration:\n  \
         [[plugin]]\n  name = {name:?}\n  component = {:?}\n",
        directory.join("plugin.wasm").display().to_string(),
    ));
    Ok(())
}
