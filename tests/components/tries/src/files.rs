//! Files and variables.

use crate::Told;
use wasip2::cli::environment::get_environment;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

fn failed(error: ErrorCode) -> String {
    error.name().into()
}

/// The directory that a path is in, and the rest of the path as it is.
fn place(path: &str) -> Result<(Descriptor, String), String> {
    for (directory, name) in get_directories() {
        if let Some(rest) = path.strip_prefix(&name)
            && let Some(rest) = rest.strip_prefix('/')
        {
            return Ok((directory, rest.to_owned()));
        }
    }
    Err("no such directory".into())
}

pub fn read(path: &str) -> Told {
    let (directory, path) = place(path)?;
    let file = directory
        .open_at(
            PathFlags::SYMLINK_FOLLOW,
            &path,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
        .map_err(failed)?;
    let (bytes, _) = file.read(4096, 0).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

pub fn write(path: &str) -> Told {
    let (directory, path) = place(path)?;
    let file = directory
        .open_at(
            PathFlags::SYMLINK_FOLLOW,
            &path,
            OpenFlags::CREATE | OpenFlags::TRUNCATE,
            DescriptorFlags::WRITE,
        )
        .map_err(failed)?;
    let count = file.write(b"written by the plugin", 0).map_err(failed)?;
    Ok(format!("{count} bytes"))
}

pub fn delete(path: &str) -> Told {
    let (directory, path) = place(path)?;
    directory.unlink_file_at(&path).map_err(failed)?;
    Ok("deleted".into())
}

pub fn list(path: &str) -> Told {
    let (directory, path) = place(&format!("{path}/."))?;
    let directory = directory
        .open_at(
            PathFlags::SYMLINK_FOLLOW,
            &path,
            OpenFlags::DIRECTORY,
            DescriptorFlags::READ,
        )
        .map_err(failed)?;
    let stream = directory.read_directory().map_err(failed)?;
    let mut names = Vec::new();
    while let Some(entry) = stream.read_directory_entry().map_err(failed)? {
        names.push(entry.name);
    }
    names.sort();
    Ok(names.join(" "))
}

pub fn variables() -> Told {
    let variables: Vec<String> = get_environment()
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok(variables.join(" "))
}
