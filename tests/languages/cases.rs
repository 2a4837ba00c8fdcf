//! Every example answers as its own case file says, which for one kind is the same in all languages.

use std::fs;

use crate::built::{KINDS, component, example, run};

fn cases_of(language: &str) {
    for kind in KINDS {
        let Some(component) = component(language, kind) else {
            continue;
        };
        let case = example(language, kind).join("case.toml");
        let said = run(&component, &case);
        assert!(said.contains("as expected"), "{said}");
    }
}

#[test]
fn of_rust() {
    cases_of("rust");
}

#[test]
fn of_c() {
    cases_of("c");
}

#[test]
fn of_go() {
    cases_of("go");
}

#[test]
fn of_python() {
    cases_of("python");
}

#[test]
fn of_javascript() {
    cases_of("javascript");
}

#[test]
fn all_languages_answer_the_same() {
    for kind in KINDS {
        let case =
            |language| fs::read_to_string(example(language, kind).join("case.toml")).unwrap();
        for language in ["c", "go", "python", "javascript"] {
            assert_eq!(case(language), case("rust"), "{language} {kind}");
        }
    }
}
