//! Carries the example projects in the daemon, for `portcullis plugin new`: a table of the files
//! that `examples/FILES` lists.

use std::{env, fmt::Write, fs, path::Path};

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=examples/FILES");
    println!("cargo::rerun-if-changed=build.rs");
    let list = fs::read_to_string("examples/FILES").context("examples/FILES")?;
    let mut table = "&[\n".to_owned();
    for name in list.lines() {
        // Not from here: a target directory may be shared by checkouts, and this is kept in it.
        let path = format!("/examples/{name}");
        writeln!(
            table,
            "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),"
        )?;
    }
    table.push_str("]\n");
    let out = Path::new(&env::var("OUT_DIR")?).join("examples.rs");
    fs::write(&out, table).with_context(|| out.display().to_string())
}
