//! A component that exports nothing which the server could call.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "greeter", path: "wit" });

struct Greeter;
export!(Greeter);

impl Guest for Greeter {
    fn greet(name: String) -> String {
        format!("Hello, {name}")
    }
}
