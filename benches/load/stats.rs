//! The counts and times of a run. All connections share one `Stats`.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Map, Value, json};

/// A part of an operation whose time is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// From the command to the first byte of the answer's data, the TLS handshake of the data connection included.
    CommandToByte,
    /// From 150 and the end of that handshake, the later of them, to the first byte.
    ReadyToByte,
    /// From the last byte, read or written, to 226.
    ByteToReply,
    Size,
    Mlst,
}

impl Wait {
    fn name(self) -> &'static str {
        match self {
            Self::CommandToByte => "command_to_byte",
            Self::ReadyToByte => "ready_to_byte",
            Self::ByteToReply => "byte_to_reply",
            Self::Size => "size",
            Self::Mlst => "mlst",
        }
    }
}

#[derive(Default)]
pub struct Stats {
    operations: AtomicU64,
    pub bytes: AtomicU64,
    /// Transfers that the end of the window cut: their bytes count, their end was not seen.
    pub partial: AtomicU64,
    pub entries: AtomicU64,
    pub reconnects: AtomicU64,
    /// Data connections that the server closed without close_notify.
    pub no_close_notify: AtomicU64,
    pub data_full: AtomicU64,
    pub data_resumed: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
    times: Mutex<Vec<u32>>,
    waits: Mutex<BTreeMap<Wait, Vec<u32>>>,
    tls: Mutex<BTreeMap<String, u64>>,
}

impl Stats {
    pub fn error(&self, text: &str) {
        // Ports and counts of bytes vary: without them, kinds stay few.
        let (mut kind, mut digits) = (String::new(), 0);
        for letter in text.chars().take(160) {
            digits = if letter.is_ascii_digit() {
                digits + 1
            } else {
                0
            };
            match digits {
                0..=3 => kind.push(letter),
                4 => kind.push('#'),
                _ => {}
            }
        }
        *self.errors.lock().unwrap().entry(kind).or_default() += 1;
    }

    pub fn operation(&self, took: Duration) {
        self.operations.fetch_add(1, Relaxed);
        self.times.lock().unwrap().push(micros(took));
    }

    pub fn wait(&self, wait: Wait, took: Duration) {
        let mut waits = self.waits.lock().unwrap();
        waits.entry(wait).or_default().push(micros(took));
    }

    pub fn tls(&self, kind: String) {
        *self.tls.lock().unwrap().entry(kind).or_default() += 1;
    }

    pub fn report(&self, seconds: f64) -> Map<String, Value> {
        let (operations, bytes) = (self.operations.load(Relaxed), self.bytes.load(Relaxed));
        let errors = self.errors.lock().unwrap().clone();
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| out.insert(key.into(), value);
        put("seconds", json!(rounded(seconds)));
        put("ops", json!(operations));
        put("bytes", json!(bytes));
        put("ops_s", json!(rounded(operations as f64 / seconds)));
        put(
            "mib_s",
            json!(rounded(bytes as f64 / f64::from(1 << 20) / seconds)),
        );
        for (key, value) in percentiles(&self.times.lock().unwrap()) {
            put(key, value);
        }
        for (wait, times) in self.waits.lock().unwrap().iter() {
            put(
                wait.name(),
                json!(Map::from_iter(
                    percentiles(times).map(|(key, value)| (key.to_owned(), value))
                )),
            );
        }
        put("errors", json!(errors.values().sum::<u64>()));
        put("error_kinds", json!(errors));
        for (key, count) in [
            ("partial", &self.partial),
            ("entries", &self.entries),
            ("reconnects", &self.reconnects),
            ("no_close_notify", &self.no_close_notify),
            ("data_full", &self.data_full),
            ("data_resumed", &self.data_resumed),
        ] {
            put(key, json!(count.load(Relaxed)));
        }
        put("tls", json!(*self.tls.lock().unwrap()));
        out
    }
}

/// Three digits behind the point.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// In milliseconds; null where nothing was measured.
fn percentiles(times: &[u32]) -> [(&'static str, Value); 3] {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).max(1) - 1;
        times
            .get(index)
            .map_or(Value::Null, |micros| json!(f64::from(*micros) / 1000.0))
    };
    [
        ("p50_ms", at(0.5)),
        ("p99_ms", at(0.99)),
        ("max_ms", at(1.0)),
    ]
}
