//! The daemon and its commands: [`portcullis::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: portcullis::allocator::Forgetful = portcullis::allocator::Forgetful;

fn main() -> ExitCode {
    portcullis::cli::main()
}
