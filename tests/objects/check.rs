//! Mistakes that `portcullis check` finds.

use crate::{engine::Engine, support::free_port};

#[test]
fn mistakes_are_told_with_their_key() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let (status, said) = engine.setup().run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("s3://bucket/ftp"), "{said}");

    let wrong = engine.setup();
    engine.credentials("a wrong secret");
    let (status, said) = wrong.run(&["check"]);
    assert_ne!(status, 0, "{said}");
    assert!(said.contains("SignatureDoesNotMatch"), "{said}");

    let nowhere = format!("\"http://127.0.0.1:{}\"", free_port());
    for (key, value, words) in [
        ("bucket", "\"another\"", "NoSuchBucket"),
        ("bucket", "\"\"", "expected the bucket"),
        ("endpoint", &nowhere, "Connection refused"),
        (
            "endpoint",
            "\"s3.example.org\"",
            "expected a URL of http or https",
        ),
        ("part-size", "\"1MiB\"", "expected 5MiB to 64MiB"),
        ("prefix", "\"a/../b\"", "expected names"),
        ("credentials", "\"nowhere\"", "No such file"),
        ("kind", "\"local\"", "is of no use"),
    ] {
        let setup = engine.setup().set(&format!("storage.default.{key}"), value);
        let (status, said) = setup.run(&["check"]);
        assert_ne!(status, 0, "{said}");
        assert!(said.contains(words), "{key}: {said}");
        assert!(said.contains("storage.default"), "{key}: {said}");
    }
}
