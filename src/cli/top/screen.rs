//! The picture of `top`.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style, Stylize},
    text::Line,
    widgets::{Block, Cell, Paragraph, Row as Cells, Sparkline, Table, TableState},
};

use super::view::{Asked, Order, Row, View};
use crate::{cli::control::time, observe::escape};

pub(super) fn draw(view: &View, frame: &mut Frame<'_>) {
    let charts = if frame.area().height >= 20 { 5 } else { 0 };
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(charts),
        Constraint::Fill(1),
        Constraint::Length(1),
    ]);
    let [head, middle, table, foot] = rows.areas(frame.area());
    frame.render_widget(headline(view), head);
    if charts > 0 {
        draw_charts(view, frame, middle);
    }
    draw_sessions(view, frame, table);
    frame.render_widget(footline(view), foot);
}

fn headline(view: &View) -> Line<'static> {
    let mut parts = vec!["Portcullis".bold()];
    let rate = view.rates.last().copied().unwrap_or(0);
    if let Some(status) = &view.status {
        let (version, up) = (&status.version, time(status.uptime));
        parts.push(format!(" {version}, up {up}").into());
    }
    let (sessions, transfers) = (view.total, view.transfers);
    parts.push(
        format!(
            " · {sessions} sessions, {transfers} transfers, {}/s",
            bytes(rate)
        )
        .into(),
    );
    for plugin in view.status.iter().flat_map(|status| &status.plugins) {
        if !plugin.healthy {
            parts.push(" · ".into());
            let name = escape::plain(&plugin.name);
            parts.push(format!("{name} is UNHEALTHY").red().bold());
        }
    }
    for wall in view.status.iter().flat_map(|status| &status.walls) {
        if !wall.stands {
            parts.push(format!(" · wall {} DOES NOT STAND", wall.name).red().bold());
        }
    }
    Line::from(parts)
}

fn draw_charts(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    for (title, series, area) in [
        ("Bytes a second", &view.rates, left),
        ("Sessions", &view.counts, right),
    ] {
        let most = series.iter().max().copied().unwrap_or(0);
        let most = match title {
            "Sessions" => most.to_string(),
            _ => bytes(most),
        };
        // The newest are at the right end.
        let fits = usize::from(area.width.saturating_sub(2));
        let from = series.len().saturating_sub(fits);
        let chart = Sparkline::default()
            .block(Block::bordered().title(format!("{title}, at most {most}")))
            .data(series.get(from..).unwrap_or_default());
        frame.render_widget(chart, area);
    }
}

fn draw_sessions(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let columns = [
        ("SESSION", Some(Order::Session), Constraint::Length(8)),
        ("USER", Some(Order::User), Constraint::Length(16)),
        ("CLIENT", Some(Order::Client), Constraint::Length(22)),
        ("TLS", None, Constraint::Length(7)),
        ("SINCE", Some(Order::Since), Constraint::Length(8)),
        ("IDLE", Some(Order::Idle), Constraint::Length(8)),
        ("RATE", Some(Order::Rate), Constraint::Length(12)),
        ("DOES", None, Constraint::Fill(1)),
    ];
    let head = columns.iter().map(|(label, order, _)| {
        let mark = match (*order == Some(view.order), view.down) {
            (false, _) => "",
            (true, false) => "↑",
            (true, true) => "↓",
        };
        Cell::from(format!("{label}{mark}"))
    });
    let head = Cells::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(
        view.sessions.iter().map(cells),
        columns.map(|(_, _, width)| width),
    )
    .header(head)
    .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(view.cursor());
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells(row: &Row) -> Cells<'static> {
    let session = &row.session;
    let user = match (&session.user, &session.host) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(user), None) => user.clone(),
        (None, _) => "-".to_owned(),
    };
    let user = if session.logged_in {
        user
    } else {
        format!("({user})")
    };
    let does = match (&session.transfer, &session.command) {
        (Some(transfer), _) => {
            let path = transfer.path.as_deref().unwrap_or_default();
            format!("{} {path}: {}", transfer.direction, bytes(transfer.bytes))
        }
        (None, Some(command)) => command.clone(),
        (None, None) => "-".to_owned(),
    };
    let rate = row.rate.map(|rate| format!("{}/s", bytes(rate)));
    let tls = session.tls.clone().unwrap_or_else(|| "none".to_owned());
    let all = [
        session.session.clone(),
        user,
        session.client.clone(),
        tls,
        time(session.age),
        time(session.idle),
        rate.unwrap_or_default(),
        does,
    ];
    Cells::new(all.map(|text| Cell::from(escape::plain(&text).into_owned())))
}

fn footline(view: &View) -> Paragraph<'static> {
    let text = match &view.asked {
        Asked::Kick { session, about } => {
            let about = escape::plain(about);
            format!("End session {session} of {about}? y ends it, any other key does not.").yellow()
        }
        Asked::Filter => {
            let filter = escape::plain(&view.filter);
            format!("Filter: {filter}▏ (Enter keeps it, Esc clears it)").yellow()
        }
        Asked::Nothing if !view.said.is_empty() => {
            let said = view.said.lines().collect::<Vec<_>>().join("; ");
            escape::plain(&said).into_owned().yellow()
        }
        Asked::Nothing => {
            let keys = "q quit · ↑↓ choose · x end the session · / filter · o order · r reverse";
            let filter = match view.filter.is_empty() {
                true => String::new(),
                false => format!(" · only \"{}\"", escape::plain(&view.filter)),
            };
            format!("{keys}{filter}").dim()
        }
    };
    Paragraph::new(Line::from(text))
}

/// A number of bytes in the largest unit of which there is one at least.
fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut rest = count;
    let mut below = 0;
    let mut unit = "B";
    for next in units {
        if rest < 1024 {
            break;
        }
        (below, rest, unit) = (rest % 1024, rest / 1024, next);
    }
    match unit {
        "B" => format!("{count} B"),
        _ => format!("{rest}.{} {unit}", below * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_largest_unit() {
        for (count, told) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 << 20, "1.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(count), told);
        }
    }
}
