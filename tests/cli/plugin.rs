//! The author's kit: `plugin new`, `componentize` and `run`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// A directory in which commands run, with a cache of compiled code that they share.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The status, and what was said on standard output and on standard error.
    fn plugin(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .arg("plugin")
            .args(words)
            .current_dir(self.0.path())
            .env("NO_COLOR", "1")
            .env(
                "XDG_CACHE_HOME",
                Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit-cache"),
            );
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Runs a case on a component.
    fn run(&self, component: &str, case: &str) -> (i32, String, String) {
        self.file("case.toml", case);
        self.plugin(&["run", component, "--case", "case.toml"])
    }
}

fn faulty(kind: &str) -> String {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/components/built");
    built
        .join(format!("faulty-{kind}.wasm"))
        .display()
        .to_string()
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

/// "secret"
const HASH: &str = "$6$portcullis$mO9ys7okpXYvIIaYj9pTZnY2AuNScmD/EDMofIng74lJkf7KOJBbjX2LmzubWVVnUokz0Me4vS.1E/BjmEg0X.";

#[test]
fn a_case_that_holds() {
    let place = Place::new();
    place.file(
        "users.toml",
        format!("[demo]\npassword = {HASH:?}\nhome = \"/demo\"\ngroups = [\"staff\"]\n"),
    );
    let case = r#"
        settings.users = { file = "users.toml" }
        [[call]]
        name = "a known user"
        user = "demo"
        password = "secret"
        expect.outcome = "accept"
        expect.account = { home = "/demo", groups = ["staff"] }
        [[call]]
        user = "demo"
        password = "guess"
        expect.outcome = "deny"
        [[call]]
        user = "nobody"
        password = "guess"
        expect.outcome = "abstain"
    "#;
    let (status, said, wrong) = place.run("builtin:users", case);
    assert_eq!(status, 0, "{said}{wrong}");
    says(
        &said,
        &[
            "a known user\n",
            "answer accept: home /demo, groups staff",
            "took   cpu ",
            "memory ",
            "3 calls, 3 as expected",
        ],
    );

    let words = ["run", "builtin:users", "--case", "case.toml"];
    let (status, said, _) = place.plugin(&[&words[..], &["--json", "--repeat", "5"]].concat());
    assert_eq!(status, 0, "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["met"], true);
    assert_eq!(report["kinds"][0], "authenticator");
    let call = &report["calls"][0];
    assert_eq!(call["answer"], "accept");
    assert_eq!(call["account"]["home"], "/demo");
    assert_eq!(call["repeated"]["calls"], 5);
    assert!(call["memory"].as_u64().unwrap() > 60_000);
    assert!(call["repeated"]["wall-us"]["median"].as_f64().unwrap() > 0.0);

    let (status, said, _) = place.plugin(&[&words[..], &["--no-cache", "--repeat=3"]].concat());
    assert_eq!(status, 0, "{said}");
    says(&said, &["calls", "median", "p99", "a second"]);
}

#[test]
fn a_case_that_does_not_hold_says_what_was_found() {
    let case = r#"
        [[call]]
        user = "deny"
        expect.outcome = "accept"
        expect.log = ["never said"]
        expect.state = { count = "1" }
        [[call]]
        user = "deny"
        expect.reason = "on purpose"
        [[call]]
        user = "unavailable"
    "#;
    let (status, said, wrong) = Place::new().run(&faulty("authenticator"), case);
    assert_eq!(status, 1, "{said}");
    says(
        &said,
        &[
            "WRONG  outcome: expected \"accept\", found \"deny\"",
            "WRONG  log: no line has \"never said\"",
            "WRONG  state.count: expected \"1\", found none",
            "answer deny: denied on purpose",
            "WRONG  expected an answer, found \"unavailable\"",
            "3 calls, 1 as expected",
        ],
    );
    says(&wrong, &["2 of 3 calls"]);
}

#[test]
fn a_trap_is_told_with_its_functions() {
    let case = "[[call]]\nuser = \"trap\"\nexpect.outcome = \"fault\"\n";
    let (status, said, _) = Place::new().run(&faulty("authenticator"), case);
    assert_eq!(status, 0, "{said}");
    says(&said, &["log    error: ", "a trap on purpose"]);
    says(&said, &["answer fault: trap: ", "\n         in "]);
}

#[test]
fn a_case_file_that_is_wrong_is_status_2_with_its_lines() {
    let place = Place::new();
    for (case, parts) in [
        (
            "[[call]]\nuser = \"a\"\npasword = \"b\"\nexpect.outcom = \"deny\"\n",
            &["case.toml:3: call[0].pasword: unknown key", "case.toml:4"][..],
        ),
        ("[[call]\n", &["case.toml:1:"]),
        (
            "[[call]]\nrequests = [\"see /\"]\n",
            &["case.toml:1: call[0]: is for the kind path-guard"],
        ),
        (
            "settings.users = { file = \"none.toml\" }\n[[call]]\nuser = \"a\"\n",
            &["case.toml:1: settings", "none.toml"],
        ),
        (
            "[limits]\nmemory = \"much\"\n",
            &["case.toml:2: limits.memory"],
        ),
    ] {
        let (status, said, wrong) = place.run("builtin:users", case);
        assert_eq!(status, 2, "{said}{wrong}");
        says(&wrong, parts);
    }
    let (status, _, wrong) = place.plugin(&["run", "builtin:users", "--case", "none.toml"]);
    assert_eq!(status, 2);
    says(&wrong, &["none.toml: cannot be read"]);
    let (status, _, wrong) = place.run("none.wasm", "[[call]]\nuser = \"a\"\n");
    assert_eq!(status, 1);
    says(&wrong, &["none.wasm"]);
}

#[test]
fn a_guard_keeps_its_instance_and_decides_in_order() {
    let case = r#"
        [settings]
        default = "allow"
        rules = [
            { effect = "deny", operations = ["delete"], reason = "Not that" },
            { effect = "hide", paths = ["/secret/**"] },
        ]
        [session]
        user = "alice"
        account = { home = "/alice", groups = ["staff"], permissions = ["list", "download"] }
        [[call]]
        requests = ["download /a", "delete /a", "see /secret/b"]
        expect.decisions = ["allow", "deny: Not that", "hide"]
        [[call]]
        requests = ["rename-from /a /b"]
        expect.decisions = ["hide"]
    "#;
    let (status, said, _) = Place::new().run("builtin:rules", case);
    assert_eq!(status, 1, "{said}");
    says(
        &said,
        &[
            "answer decided: allow; deny: Not that; hide",
            "WRONG  decisions[0]: expected \"hide\", found \"allow\"",
            "2 calls, 1 as expected",
        ],
    );
}

#[test]
fn an_inspector_gets_an_upload_in_pieces_or_a_part_of_it() {
    let place = Place::new();
    place.file("eicar.bin", crate::support::eicar());
    let case = r#"
        [[call]]
        name = "in pieces"
        path = "/x.bin"
        file = "eicar.bin"
        chunk = 7
        expect.verdict = "reject"
        expect.reason = "EICAR"
        [[call]]
        name = "all but the end"
        path = "/x.bin"
        file = "eicar.bin"
        cut-at = 60
        expect.verdict = "interrupted"
        [[call]]
        path = "/text.txt"
        mode = "overwrite"
        announced-size = 4
        base64 = "dGV4dA=="
        expect.verdict = "accept"
    "#;
    let (status, said, wrong) = place.run("builtin:upload-guard", case);
    assert_eq!(status, 0, "{said}{wrong}");
    says(&said, &["answer reject: ", "answer interrupted\n"]);
}

#[test]
fn a_project_goes_where_nothing_is() {
    let place = Place::new();
    let words = [
        "new",
        "--language",
        "c",
        "--kind",
        "upload-inspector",
        "a/b",
    ];
    let (status, said, wrong) = place.plugin(&words);
    assert_eq!(status, 0, "{wrong}");
    says(&said, &["cd a/b\n", "make\n", "portcullis plugin run"]);
    let project = place.0.path().join("a/b");
    assert!(project.join("Makefile").is_file());
    assert!(project.join("wit/types.wit").is_file());
    assert!(!project.join("wit").is_symlink());

    fs::write(project.join("plugin.c"), "changed").unwrap();
    let (status, _, wrong) = place.plugin(&words);
    assert_eq!(status, 1);
    says(&wrong, &["a/b is not empty"]);
    assert_eq!(
        fs::read_to_string(project.join("plugin.c")).unwrap(),
        "changed"
    );

    let (status, _, wrong) = place.plugin(&["new", "--language", "cobol", "--kind", "x", "c"]);
    assert_eq!(status, 2);
    says(
        &wrong,
        &["[possible values: rust, c, go, python, javascript]"],
    );
}

#[test]
fn what_is_no_module_is_told() {
    let place = Place::new();
    let component = faulty("authenticator");
    let (status, _, wrong) = place.plugin(&["componentize", &component, "-o", "x.wasm"]);
    assert_eq!(status, 1);
    says(&wrong, &["a component already"]);
    place.file("empty.wasm", b"\0asm\x01\0\0\0");
    let (status, _, wrong) = place.plugin(&["componentize", "empty.wasm", "-o", "x.wasm"]);
    assert_eq!(status, 1);
    says(&wrong, &["--world; there are authenticator, path-guard"]);
    assert!(!place.0.path().join("x.wasm").exists());
}
