//! `portcullis top`: the sessions as they come and go, on a terminal.

mod screen;
mod view;

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use clap::Args;
use http::Method;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use self::view::{Asked, View};
use super::{
    Failure, Source,
    control::{escaped, get, try_ask},
};
use crate::{
    config::duration,
    server::admin::messages::{Done, EndSessions, Sessions, Status},
};

/// The options of `top`.
#[derive(Args, Debug)]
pub struct TopOptions {
    /// How often it looks
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    every: Duration,
}

/// Shows them until somebody ends it.
pub fn run(source: &Source, options: &TopOptions) -> Result<(), Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let text = "top needs a terminal; `portcullis who` prints the sessions once";
        return Err(Failure::Running(text.to_owned()));
    }
    // The first answer is waited for, so that an error is told on the terminal as it was.
    let mut view = View::default();
    look(source, &mut view)?;
    let failed = |error: io::Error| format!("the terminal cannot be used: {error}");
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let every = options.every.max(Duration::from_millis(100));
    let ended = show(source, &mut view, &mut terminal, every);
    let restored = ratatui::try_restore();
    ended.and(restored).map_err(|error| failed(error).into())
}

fn look(source: &Source, view: &mut View) -> Result<(), Failure> {
    let query = match view.filter.is_empty() {
        true => String::new(),
        false => format!("?filter={}", escaped(&view.filter)),
    };
    let sessions: Sessions = get(source, &format!("/sessions{query}"))?;
    let status: Status = get(source, "/status")?;
    view.take(sessions, status, Instant::now());
    Ok(())
}

fn show(
    source: &Source,
    view: &mut View,
    terminal: &mut DefaultTerminal,
    every: Duration,
) -> io::Result<()> {
    let mut next = Instant::now() + every;
    loop {
        terminal.draw(|frame| screen::draw(view, frame))?;
        let left = next.saturating_duration_since(Instant::now());
        let mut again = left.is_zero();
        if !again && event::poll(left)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match pressed(view, key) {
                    Next::On => {}
                    Next::Look => again = true,
                    Next::Kick(session) => {
                        view.said = kick(source, session);
                        again = true;
                    }
                    Next::End => return Ok(()),
                },
                _ => {}
            }
        }
        if again {
            if let Err(error) = look(source, view) {
                view.lost(&error.to_string());
            }
            next = Instant::now() + every;
        }
    }
}

/// The consequence of a key.
enum Next {
    On,
    Look,
    Kick(String),
    End,
}

fn pressed(view: &mut View, key: KeyEvent) -> Next {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Next::End;
    }
    match &mut view.asked {
        Asked::Nothing => {}
        Asked::Filter => {
            match key.code {
                KeyCode::Enter => view.asked = Asked::Nothing,
                KeyCode::Esc => {
                    view.filter.clear();
                    view.asked = Asked::Nothing;
                }
                KeyCode::Backspace => drop(view.filter.pop()),
                KeyCode::Char(letter) => view.filter.push(letter),
                _ => return Next::On,
            }
            return Next::Look;
        }
        Asked::Kick { session, .. } => {
            let session = std::mem::take(session);
            view.asked = Asked::Nothing;
            return match key.code {
                KeyCode::Char('y' | 'Y') => Next::Kick(session),
                _ => Next::On,
            };
        }
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Next::End,
        KeyCode::Up | KeyCode::Char('k') => view.choose(-1),
        KeyCode::Down | KeyCode::Char('j') => view.choose(1),
        KeyCode::PageUp => view.choose(-20),
        KeyCode::PageDown => view.choose(20),
        KeyCode::Home => view.choose(isize::MIN),
        KeyCode::End => view.choose(isize::MAX),
        KeyCode::Char('o') => view.order_by_next(),
        KeyCode::Char('r') => view.reverse(),
        KeyCode::Char('/') => view.asked = Asked::Filter,
        KeyCode::Char('x') | KeyCode::Delete => view.ask_to_kick(),
        KeyCode::Char(' ') => return Next::Look,
        _ => {}
    }
    Next::On
}

fn kick(source: &Source, session: String) -> String {
    let body = EndSessions {
        session: Some(session),
        ..EndSessions::default()
    };
    match try_ask::<Done>(source, Method::POST, "/sessions/end", Some(&body)) {
        Ok(Ok(Done { text }) | Err(text)) => text,
        Err(error) => error.to_string(),
    }
}
