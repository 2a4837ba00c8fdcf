//! `man` and `completions`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::program;

fn portcullis(words: &[&str]) -> String {
    program::expect(Command::new(env!("CARGO_BIN_EXE_portcullis")).args(words))
}

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help
        .lines()
        .skip_while(|line| !line.contains("Commands:"))
        .skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        // A text that goes on is further to the right.
        .filter(|name| !name.is_empty())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The names of all commands with those above them, asked of the program.
fn commands(above: &[String], found: &mut BTreeSet<String>) {
    found.insert([&["portcullis".to_owned()], above].concat().join("-"));
    let mut words: Vec<&str> = above.iter().map(String::as_str).collect();
    words.push("--help");
    for name in listed(&portcullis(&words)) {
        commands(&[above, &[name]].concat(), found);
    }
}

fn pages(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_command_has_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("man1");
    portcullis(&["man", place.to_str().unwrap()]);
    let mut expected = BTreeSet::new();
    commands(&[], &mut expected);
    assert!(expected.contains("portcullis-user-add"), "{expected:?}");
    let expected: BTreeSet<String> = expected.iter().map(|name| format!("{name}.1")).collect();
    assert_eq!(pages(&place), expected);
    let text = fs::read_to_string(place.join("portcullis-user-set.1")).unwrap();
    for words in [
        ".TH portcullis\\-user\\-set 1 \"\" \"portcullis ",
        "quota=10GB",
        "\\-\\-config",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

#[test]
fn man_finds_nothing_wrong_with_the_pages() {
    if !program::installed("man") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    portcullis(&["man", directory.path().to_str().unwrap()]);
    // Bold letters are printed twice, with a backspace between them.
    let bold = regex::Regex::new(".\u{8}").unwrap();
    for page in pages(directory.path()) {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"]);
        let output = man
            .arg(directory.path().join(&page))
            .env("MANROFFSEQ", "")
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && wrong.is_empty(),
            "{page}: {wrong}"
        );
        let shown = String::from_utf8_lossy(&output.stdout);
        let shown = bold.replace_all(&shown, "");
        assert!(
            shown.contains("NAME") && shown.contains("SYNOPSIS"),
            "{page}: {shown}"
        );
    }
}

/// The words that bash offers in the place of the last one. It reads all of its input as it goes.
fn completed(script: &str, words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "COMP_WORDS=({}); COMP_CWORD={}\n_portcullis portcullis \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words.len() - 1
    );
    let mut bash = Command::new("bash")
        .args(["--norc", "--noprofile"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = bash.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    input.write_all(ask.as_bytes()).unwrap();
    drop(input);
    let output = bash.wait_with_output().unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(wrong.is_empty(), "{wrong}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_and_options() {
    let script = portcullis(&["completions", "bash"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis");
    fs::write(&file, &script).unwrap();
    program::expect(Command::new("bash").arg("-n").arg(&file));
    for (words, expected) in [
        (&["portcullis", "quar"][..], "quarantine\n"),
        // Nothing of those that the server starts itself.
        (&["portcullis", "comp"], "completions\n"),
        (&["portcullis", "user", "ad"], "add\n"),
        (
            &["portcullis", "user", "add", "bob", "--perm"],
            "--permissions\n",
        ),
        (&["portcullis", "import", "pro"], "proftpd\n"),
    ] {
        assert_eq!(completed(&script, words), expected, "{words:?}");
    }
}

#[test]
fn other_shells_have_completions_too() {
    for (shell, words) in [
        ("zsh", "#compdef portcullis"),
        ("fish", "complete -c portcullis"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = portcullis(&["completions", shell]);
        assert!(
            script.contains(words) && script.contains("quarantine"),
            "{shell}"
        );
    }
}
