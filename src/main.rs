//! The daemon and its commands: [`portcullis::cli`].

use std::process::ExitCode;

/// Gives memory back when a load is over. The C library's keeps what each of many threads has used
/// at its peak: ten times as much after some hundred logins and transfers.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
