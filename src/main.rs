//! The daemon and its commands: [`portcullis::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis::cli::main()
}
