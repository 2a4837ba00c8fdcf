//! The results of a case, for people.

use std::{fmt::Write, time::Duration};

use super::{super::output, Done, Repeated};
use crate::{
    gate::{Account, Permissions},
    kit::{
        case::{Answer, Asked, decision, granted},
        log::Line,
        subject::Ran,
    },
    plugin,
};

/// The imports of the component that the case grants nothing for.
pub fn nothing_granted(line: &str, imports: &[&str]) -> String {
    let imports = imports.join(", ");
    format!("nothing granted for {imports}: [grants] {line}\n")
}

/// Before the call.
pub fn heading(asked: &Asked) -> String {
    format!("{}\n", output::bold(&asked.name))
}

/// As it is logged.
pub fn line(line: &Line) -> String {
    let level = line.level.to_string().to_lowercase();
    format!("  log    {level}: {}\n", line.text)
}

/// After the call.
pub fn answer(ran: &Ran) -> String {
    let answer = &ran.answer;
    let mut text = format!("  answer {}", answer.word);
    match &answer.fault {
        Some(fault) => {
            let (what, frames, stderr) = plugin::spread(&fault.text);
            if answer.word == "fault" {
                let _ = write!(text, ": {}", fault.kind);
            }
            let _ = writeln!(text, ": {what}");
            for frame in frames {
                let _ = writeln!(text, "         in {frame}");
            }
            let logged = |line: &String| ran.log.iter().any(|logged| logged.text.contains(line));
            for line in stderr.iter().filter(|line| !logged(line)) {
                let _ = writeln!(text, "         stderr: {line}");
            }
        }
        None => {
            let _ = writeln!(text, "{}", details(answer));
        }
    }
    let _ = writeln!(
        text,
        "  took   cpu {}, wall {}, memory {}",
        time(ran.usage.cpu),
        time(ran.wall),
        bytes(ran.usage.memory)
    );
    text
}

fn details(answer: &Answer) -> String {
    let mut text = String::new();
    if let Some(reason) = &answer.reason {
        let _ = write!(text, ": {reason}");
    }
    if let Some(path) = &answer.path {
        let _ = write!(text, ": {path}");
    }
    if let Some(account) = &answer.account {
        let _ = write!(text, ": {}", self::account(account));
    }
    if !answer.decisions.is_empty() {
        let decisions: Vec<String> = answer.decisions.iter().map(decision).collect();
        let _ = write!(text, ": {}", decisions.join("; "));
    }
    text
}

fn account(account: &Account) -> String {
    let mut text = format!("home {}", account.home.as_str());
    let mut add = |key: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(text, ", {key} {value}");
        }
    };
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    add("storage", account.storage.clone().unwrap_or_default());
    add("groups", account.groups.join(" "));
    if account.permissions == Permissions::NONE {
        add("permissions", "none".into());
    } else if account.permissions != Permissions::ALL {
        add("permissions", granted(account.permissions).join(" "));
    }
    for (name, value) in &account.attributes {
        add(name, format!("{value:?}"));
    }
    add("max-sessions", number(account.max_sessions.map(u64::from)));
    add(
        "idle-timeout",
        number(account.idle_timeout.map(|timeout| timeout.as_secs())),
    );
    add("upload-rate", number(account.upload_rate));
    add("download-rate", number(account.download_rate));
    add("max-upload-size", number(account.max_upload_size));
    add("quota", number(account.quota));
    add("quota-files", number(account.quota_files));
    add("expires", number(account.expires_at()));
    add("greeting", account.greeting.clone().unwrap_or_default());
    text
}

/// Something that is otherwise than expected.
pub fn problem(problem: &str) -> String {
    format!("  WRONG  {problem}\n")
}

/// After all calls.
pub fn summary(loaded: Duration, done: &[Done<'_>]) -> String {
    let met = done.iter().filter(|call| call.problems.is_empty()).count();
    let mut text = String::new();
    let repeated: Vec<(&str, &Repeated)> = done
        .iter()
        .filter_map(|call| Some((call.asked.name.as_str(), call.repeated.as_ref()?)))
        .collect();
    if !repeated.is_empty() {
        let head = [
            "", "calls", "faults", "cpu min", "median", "p99", "wall min", "median", "p99",
            "a second",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(repeated.iter().map(|(name, figures)| row(name, figures)));
        let _ = write!(text, "\n{}", output::table(&rows));
    }
    let calls = match done.len() {
        1 => "1 call".to_owned(),
        count => format!("{count} calls"),
    };
    let _ = writeln!(
        text,
        "\n{calls}, {met} as expected; loaded in {}",
        time(loaded)
    );
    text
}

fn row(name: &str, repeated: &Repeated) -> [String; 10] {
    let (cpu, wall) = (repeated.cpu, repeated.wall);
    [
        name.to_owned(),
        repeated.calls.to_string(),
        repeated.faults.to_string(),
        time(cpu.min),
        time(cpu.median),
        time(cpu.p99),
        time(wall.min),
        time(wall.median),
        time(wall.p99),
        format!("{:.0}", repeated.per_second),
    ]
}

/// Three digits or so.
fn time(taken: Duration) -> String {
    let micros = taken.as_secs_f64() * 1e6;
    match micros {
        _ if micros < 10.0 => format!("{micros:.1} µs"),
        _ if micros < 1000.0 => format!("{micros:.0} µs"),
        _ if micros < 1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

fn bytes(count: u64) -> String {
    format!("{} KiB", count.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_units() {
        let told = |nanos| time(Duration::from_nanos(nanos));
        assert_eq!(told(1_240), "1.2 µs");
        assert_eq!(told(250_000), "250 µs");
        assert_eq!(told(2_500_000), "2.50 ms");
        assert_eq!(told(4_500_000_000), "4.50 s");
    }
}
