//! Whole sessions, from bytes: `cargo fuzz run --sanitizer none session` takes a stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::session::harness::converse;
use tokio::runtime::Builder;

fuzz_target!(|bytes: &[u8]| {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    if let Err(error) = runtime.block_on(converse(bytes)) {
        panic!("{error}");
    }
});
