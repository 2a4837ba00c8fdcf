//! The state of `top`: the last answers, and how the person wants to see them.

use std::{cmp::Ordering, collections::HashMap, time::Instant};

use crate::server::admin::messages::{SessionStatus, Sessions, Status};

/// The points of a chart.
pub(super) const POINTS: usize = 200;

/// The state.
#[derive(Default)]
pub(super) struct View {
    pub(super) status: Option<Status>,
    pub(super) sessions: Vec<Row>,
    /// All of them, of which the filter leaves some.
    pub(super) total: usize,
    pub(super) transfers: usize,
    /// Bytes a second of all data connections, the newest last.
    pub(super) rates: Vec<u64>,
    /// Sessions, likewise.
    pub(super) counts: Vec<u64>,
    pub(super) order: Order,
    pub(super) down: bool,
    pub(super) filter: String,
    pub(super) asked: Asked,
    /// The result of the last deed, or why there is no news.
    pub(super) said: String,
    /// The session that the cursor is on, as long as it is there.
    chosen: Option<String>,
    moved: Option<(u64, Instant)>,
    before: HashMap<String, (u64, Instant)>,
}

/// A session with the rate of its transfer.
pub(super) struct Row {
    pub(super) session: SessionStatus,
    /// Bytes a second since the last look.
    pub(super) rate: Option<u64>,
}

/// A question that the next key answers.
#[derive(Default)]
pub(super) enum Asked {
    #[default]
    Nothing,
    /// The text of the filter is typed.
    Filter,
    /// Whether the session is to end.
    Kick { session: String, about: String },
}

/// The column that rows are in the order of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Session,
    User,
    Client,
    Since,
    Idle,
    Rate,
}

impl Order {
    const ALL: [Self; 6] = [
        Self::Session,
        Self::User,
        Self::Client,
        Self::Since,
        Self::Idle,
        Self::Rate,
    ];
}

impl View {
    /// Takes the next answers.
    pub(super) fn take(&mut self, sessions: Sessions, status: Status, now: Instant) {
        let since = |bytes: u64, (before, then): (u64, Instant)| {
            let milliseconds = now.duration_since(then).as_millis().max(1);
            let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
            bytes.saturating_sub(before).saturating_mul(1000) / milliseconds
        };
        if let Some(before) = self.moved.replace((sessions.moved, now)) {
            push(&mut self.rates, since(sessions.moved, before));
        }
        push(&mut self.counts, sessions.total as u64);
        self.total = sessions.total;
        self.transfers = sessions.transfers;
        let before = std::mem::take(&mut self.before);
        let row = |session: SessionStatus| {
            let rate = session.transfer.as_ref().map(|transfer| {
                let last = before.get(&session.session).copied();
                // Another transfer than at the last look has moved less than that one.
                match last.filter(|(bytes, _)| *bytes <= transfer.bytes) {
                    Some(last) => since(transfer.bytes, last),
                    None => transfer.bytes.saturating_mul(1000) / transfer.milliseconds.max(1),
                }
            });
            Row { session, rate }
        };
        self.sessions = sessions.sessions.into_iter().map(row).collect();
        let moving = self.sessions.iter().filter_map(|row| {
            let transfer = row.session.transfer.as_ref()?;
            Some((row.session.session.clone(), (transfer.bytes, now)))
        });
        self.before = moving.collect();
        if self.status.is_none() || self.said.starts_with(LOST) {
            self.said.clear();
        }
        self.status = Some(status);
        self.sort();
    }

    /// There is no answer.
    pub(super) fn lost(&mut self, error: &str) {
        self.said = format!("{LOST}{error}");
    }

    /// The row of the cursor.
    pub(super) fn cursor(&self) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        let mut rows = self.sessions.iter();
        rows.position(|row| row.session.session == *chosen)
    }

    /// Moves the cursor by so many rows.
    pub(super) fn choose(&mut self, by: isize) {
        let last = self.sessions.len().saturating_sub(1);
        let at = match self.cursor() {
            Some(at) => at.saturating_add_signed(by).min(last),
            None if by > 1 => last,
            None => 0,
        };
        let row = self.sessions.get(at);
        self.chosen = row.map(|row| row.session.session.clone());
    }

    /// Asks whether the session of the cursor is to end.
    pub(super) fn ask_to_kick(&mut self) {
        let row = self.cursor().and_then(|at| self.sessions.get(at));
        let Some(Row { session, .. }) = row else {
            "Choose a session with the arrows first.".clone_into(&mut self.said);
            return;
        };
        self.asked = Asked::Kick {
            session: session.session.clone(),
            about: session.user.as_ref().unwrap_or(&session.client).clone(),
        };
    }

    /// Has the rows in the order of the next column.
    pub(super) fn order_by_next(&mut self) {
        let mut all = Order::ALL.iter().cycle();
        all.find(|order| **order == self.order);
        self.order = all.next().copied().unwrap_or_default();
        self.down = matches!(self.order, Order::Rate | Order::Idle);
        self.sort();
    }

    /// Turns the order around.
    pub(super) fn reverse(&mut self) {
        self.down = !self.down;
        self.sort();
    }

    fn sort(&mut self) {
        let (order, down) = (self.order, self.down);
        let number = |row: &Row| row.session.session.parse::<u64>().unwrap_or(u64::MAX);
        self.sessions.sort_by(|one, other| {
            let (a, b) = (&one.session, &other.session);
            let by = match order {
                Order::Session => Ordering::Equal,
                Order::User => a.user.cmp(&b.user),
                Order::Client => a.client.cmp(&b.client),
                Order::Since => b.age.cmp(&a.age),
                Order::Idle => a.idle.cmp(&b.idle),
                Order::Rate => one.rate.cmp(&other.rate),
            };
            let by = by.then_with(|| number(one).cmp(&number(other)));
            if down { by.reverse() } else { by }
        });
    }
}

const LOST: &str = "No news: ";

fn push(series: &mut Vec<u64>, value: u64) {
    series.push(value);
    if series.len() > POINTS {
        series.remove(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::admin::messages::TransferStatus;

    fn session(name: &str, user: &str, bytes: Option<u64>) -> SessionStatus {
        SessionStatus {
            session: name.into(),
            client: "192.0.2.1:4000".into(),
            host: None,
            user: Some(user.into()),
            logged_in: true,
            tls: None,
            age: 10,
            idle: 0,
            command: None,
            transfer: bytes.map(|bytes| TransferStatus {
                direction: "upload".into(),
                path: Some("/a".into()),
                bytes,
                milliseconds: 1000,
            }),
        }
    }

    fn take(view: &mut View, moved: u64, sessions: Vec<SessionStatus>, at: Instant) {
        let sessions = Sessions {
            total: sessions.len(),
            matching: sessions.len(),
            transfers: 1,
            moved,
            sessions,
        };
        view.take(sessions, serde_json::from_str(STATUS).unwrap(), at);
    }

    const STATUS: &str = r#"{"version": "1", "pid": 1, "uptime": 1, "loaded": 1, "configuration": null,
        "listening": [], "sessions": 0, "plugins": [], "uploads": []}"#;

    #[test]
    fn rates_are_those_since_the_last_look() {
        let mut view = View::default();
        let start = Instant::now();
        take(&mut view, 0, vec![session("1", "bob", Some(500))], start);
        assert_eq!(view.sessions.first().unwrap().rate, Some(500));
        let later = start + Duration::from_secs(2);
        take(
            &mut view,
            4000,
            vec![session("1", "bob", Some(2500))],
            later,
        );
        assert_eq!(view.sessions.first().unwrap().rate, Some(1000));
        assert_eq!(view.rates, [2000]);
        // The next transfer of the same session.
        let later = later + Duration::from_secs(2);
        take(&mut view, 4000, vec![session("1", "bob", Some(100))], later);
        assert_eq!(view.sessions.first().unwrap().rate, Some(100));
    }

    #[test]
    fn the_cursor_stays_on_its_session() {
        let mut view = View::default();
        let now = Instant::now();
        let three = |order: [&str; 3]| order.map(|name| session(name, name, None)).to_vec();
        take(&mut view, 0, three(["1", "2", "10"]), now);
        view.choose(1);
        view.choose(1);
        view.choose(1);
        view.choose(1);
        assert_eq!(
            view.cursor(),
            Some(2),
            "10 is the last: numbers are in order"
        );
        view.reverse();
        assert_eq!(view.cursor(), Some(0));
        view.ask_to_kick();
        assert!(matches!(&view.asked, Asked::Kick { session, .. } if session == "10"));
        take(&mut view, 0, three(["1", "2", "3"]), now);
        assert_eq!(
            view.cursor(),
            None,
            "it is gone, and no other one is in its place"
        );
        view.asked = Asked::Nothing;
        view.ask_to_kick();
        assert!(matches!(view.asked, Asked::Nothing));
    }
}
